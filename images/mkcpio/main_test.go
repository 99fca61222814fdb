// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/u-root/u-root/pkg/cpio"
)

func TestCompose(t *testing.T) {
	dir := t.TempDir()
	tree := filepath.Join(dir, "tree")
	if err := os.MkdirAll(filepath.Join(tree, "sub"), 0o750); err != nil {
		t.Fatal(err)
	}
	write := func(p, text string, mode os.FileMode) {
		if err := os.WriteFile(p, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(tree, "sub", "prog"), "program", 0o755)
	write(filepath.Join(dir, "hosts"), "localhost", 0o600)
	if err := os.Symlink("prog", filepath.Join(tree, "sub", "alias")); err != nil {
		t.Fatal(err)
	}
	list := fmt.Sprintf(`
# a comment
file /etc/hosts 0644 %[1]s/hosts
char /dev/null 0666 1 3
dir  /tmp 1777
tree /opt %[1]s/tree
link /bin/sh busybox
file /opt/sub/prog 0600 %[1]s/hosts
`, dir)
	var first, second bytes.Buffer
	for _, w := range []*bytes.Buffer{&first, &second} {
		if err := compose(w, strings.NewReader(list)); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("the same list made two different archives")
	}
	want := []string{
		"etc 040755 \"\"",
		"etc/hosts 0100644 \"localhost\"",
		"dev 040755 \"\"",
		"dev/null 020666 1:3",
		"tmp 041777 \"\"",
		"opt 040750 \"\"",
		"opt/sub 040750 \"\"",
		"opt/sub/alias 0120777 \"prog\"",
		"opt/sub/prog 0100755 \"program\"", // the first of two wins
		"bin 040755 \"\"",
		"bin/sh 0120777 \"busybox\"",
	}
	if diff := cmp.Diff(want, contents(t, first.Bytes())); diff != "" {
		t.Errorf("archive (-want +got):\n%s", diff)
	}
}

func contents(t *testing.T, archive []byte) []string {
	t.Helper()
	records, err := cpio.ReadAllRecords(cpio.Newc.Reader(bytes.NewReader(archive)))
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, r := range records {
		data, err := io.ReadAll(io.NewSectionReader(r, 0, int64(r.FileSize)))
		if err != nil {
			t.Fatal(err)
		}
		what := fmt.Sprintf("%q", data)
		if r.Rmajor != 0 {
			what = fmt.Sprintf("%d:%d", r.Rmajor, r.Rminor)
		}
		lines = append(lines, fmt.Sprintf("%s 0%o %s", r.Name, r.Mode, what))
	}
	return lines
}

func TestComposeErrors(t *testing.T) {
	for _, c := range []struct{ line, says string }{
		{"what /is 0644", "line 1"},
		{"file /a 0644", "known form"},
		{"file /a 0999 /dev/null", "invalid syntax"},
		{"file /a 0644 /does/not/exist", "no such file"},
		{"char /a 0600 5 x", "invalid syntax"},
		{"tree /a /dev/null/x", "not a directory"},
	} {
		err := compose(io.Discard, strings.NewReader(c.line))
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q: error %v, want one that says %q", c.line, err, c.says)
		}
	}
}
