// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"slices"
	"testing"

	"virtbinder/internal/config"
)

func TestBlocks(t *testing.T) {
	got := blocks("a\n```sh\nx\ny\n```\n```go\nz\n```\n```sh\nw\n```\n", "sh")
	if want := []Block{{3, "x\ny\n"}, {10, "w\n"}}; !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
}

// TestConfigurations: every file in config.md is one that boot takes.
func TestConfigurations(t *testing.T) {
	files, err := Blocks("config.md", "yaml")
	if err != nil || len(files) < 4 {
		t.Fatalf("%d examples, %v", len(files), err)
	}
	for _, b := range files {
		c, source, err := config.Parse("config.md", []byte(b.Text))
		if err == nil {
			err = source.Locate(c.Resolve())
		}
		if err != nil {
			t.Errorf("docs/config.md:%d: %v", b.Line, err)
		}
	}
}
