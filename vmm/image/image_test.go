// SPDX-License-Identifier: Apache-2.0

package image

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestIdentify puts each magic where it belongs, with nothing else around it.
func TestIdentify(t *testing.T) {
	for _, m := range magics {
		file := append(make([]byte, m.off), m.magic...)
		if got, err := Identify(bytes.NewReader(file)); err != nil || got != m.kind {
			t.Errorf("%q at %#x is %v, %v; want %v", m.magic, m.off, got, err, m.kind)
		}
		if got, _ := Identify(bytes.NewReader(file[:len(file)-1])); got == m.kind {
			t.Errorf("%q cut off at %#x is still %v", m.magic, m.off, got)
		}
	}
	for k, name := range names {
		if name == "" {
			t.Errorf("kind %d has no name", k)
		}
	}
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	if err := os.WriteFile(path, []byte("1234"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, size, err := Open("kernel", path)
	if err != nil || size != 4 {
		t.Fatalf("%d bytes, %v", size, err)
	}
	f.Close()
	for path, want := range map[string]string{dir: "not a regular file", path + "x": "no such file"} {
		if _, _, err := Open("kernel", path); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
	}
}
