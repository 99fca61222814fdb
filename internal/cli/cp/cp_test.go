// SPDX-License-Identifier: Apache-2.0

package cp

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"virtbinder/guest/treecopy"
	"virtbinder/internal/control/controltest"
)

// run runs a command line as main does.
func run(t *testing.T, args ...string) (out string, err error) {
	t.Helper()
	var c Cmd
	var b bytes.Buffer
	parser, err := kong.New(&c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(args); err != nil {
		t.Fatal(err)
	}
	c.Stdout = &b
	err = c.Run()
	return b.String(), err
}

func TestCopy(t *testing.T) {
	t.Setenv("VIRTBINDER_RUNTIME_DIR", t.TempDir())
	controltest.ServeAgent(t, controltest.Start(t, "a").Dir, nil)
	host, guest := t.TempDir(), t.TempDir()
	src := filepath.Join(host, "src")
	if err := os.WriteFile(src, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := run(t, src, "a:"+guest); err != nil || out != "1 files, 4 bytes\n" {
		t.Errorf("%q, %v", out, err)
	}
	out, err := run(t, "a:"+guest+"/src", filepath.Join(host, "back"), "--json")
	var s treecopy.Summary
	if err != nil || json.Unmarshal([]byte(out), &s) != nil || s.Bytes != 4 {
		t.Errorf("%q, %v", out, err)
	}
	if text, err := os.ReadFile(filepath.Join(host, "back")); err != nil || string(text) != "text" {
		t.Errorf("%q, %v", text, err)
	}
	for _, c := range []struct{ from, to, want string }{
		{"/a", "/b", "both are on the host"},
		{"./a:b", "/b", "both are on the host"},
		{"a:/x", "b:/y", "both are in a VM"},
		{src, "b:/tmp", `VM "b": it does not run`},
		{src, "../b:/tmp", "both are on the host"},
		{src, ".b:/tmp", "begins with"},
		{src, "a:tmp", "give an absolute path"},
		{"a:", host, "give an absolute path"},
		{"a:/nowhere", host, `VM "a": copy: stat /nowhere`},
	} {

		if _, err := run(t, c.from, c.to); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("cp %s %s: %v", c.from, c.to, err)
		}
	}
}
