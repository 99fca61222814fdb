// SPDX-License-Identifier: Apache-2.0

package treecopy

import (
	"archive/tar"
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func write(t *testing.T, path, text string, mode fs.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// tree lists what is below dir: mode, and content or where a link leads.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		out[rel] = info.Mode().String()
		switch info.Mode().Type() {
		case 0:
			b, err := os.ReadFile(path)
			out[rel] += " " + string(b)
			return err
		case fs.ModeSymlink:
			to, err := os.Readlink(path)
			out[rel] = "-> " + to
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestDirectory(t *testing.T) {
	src, dst := filepath.Join(t.TempDir(), "src"), filepath.Join(t.TempDir(), "dst")
	for _, dir := range []string{src, filepath.Join(src, "sub"), filepath.Join(src, "sub", "empty")} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(src, "run"), "#!/bin/sh\n", 0o755)
	write(t, filepath.Join(src, "sub", "secret"), strings.Repeat("x", 100_000), 0o600)
	write(t, filepath.Join(src, "none"), "", 0o444)
	if err := os.Symlink("/etc/passwd", filepath.Join(src, "link")); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	packed, err := Pack(&b, src)
	if err != nil {
		t.Fatal(err)
	}
	text := b.Bytes()
	for range 2 { // the second time over what the first made
		unpacked, err := Unpack(bytes.NewReader(text), dst)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(packed, unpacked); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff(tree(t, src), tree(t, dst)); d != "" {
			t.Error(d)
		}
	}
	if err := unix.Mkfifo(filepath.Join(src, "sub", "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	again, err := Pack(&bytes.Buffer{}, src)
	if err != nil || again.Left != 1 || len(again.Skipped) != 1 || again.Files != packed.Files {
		t.Errorf("%+v, %v", again, err)
	}
	link := filepath.Join(t.TempDir(), "to-src")
	if err := os.Symlink(src, link); err != nil {
		t.Fatal(err)
	}
	if through, err := Pack(&bytes.Buffer{}, link); err != nil || through.Files != packed.Files {
		t.Errorf("through a link: %+v, %v", through, err)
	}
}

func TestFile(t *testing.T) {
	dir := t.TempDir()
	src, dst := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	write(t, src, "text", 0o640)
	write(t, dst, "what was there, and is longer", 0o600)
	var b bytes.Buffer
	if s, err := Pack(&b, src); err != nil || s.Bytes != 4 || s.Files != 1 {
		t.Fatalf("%+v, %v", s, err)
	}
	if s, err := Unpack(&b, dst); err != nil || s.Bytes != 4 || s.Files != 1 {
		t.Fatalf("%+v, %v", s, err)
	}
	want := map[string]string{".": "d", "a": "-rw-r----- text", "b": "-rw-r----- text"}
	got := tree(t, dir)
	got["."] = got["."][:1]
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if _, err := Pack(&b, filepath.Join(dir, "none")); err == nil {
		t.Error("packed what is not there")
	}
	if _, err := Pack(&b, "/dev/null"); err == nil || !strings.Contains(err.Error(), "neither a file nor a directory") {
		t.Errorf("packed a device: %v", err)
	}
}

func TestTarget(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "file"), "", 0o600)
	for dst, want := range map[string]string{
		dir: filepath.Join(dir, "name"), dir + "/": filepath.Join(dir, "name"), dir + "/new": filepath.Join(dir, "new"),
		dir + "/file": filepath.Join(dir, "file"), dir + "/new/": filepath.Join(dir, "new"),
	} {
		if got, err := Target(dst, "name"); err != nil || got != want {
			t.Errorf("%s: %s, %v", dst, got, err)
		}
	}
	for _, dst := range []string{dir + "/file/x", dir + "/file/"} {
		if got, err := Target(dst, "name"); err == nil {
			t.Errorf("%s: %s", dst, got)
		}
	}
}

// archive is a tar of some headers, the first of which is the root's.
func archive(tb testing.TB, headers ...tar.Header) []byte {
	tb.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range append([]tar.Header{{Name: "./", Typeflag: tar.TypeDir, Mode: 0o755}}, headers...) {
		if err := w.WriteHeader(&h); err != nil {
			tb.Fatal(err)
		}
		if _, err := w.Write(make([]byte, h.Size)); err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// hostile are archives that a guest might send to reach something else.
func hostile(tb testing.TB) map[string][]byte {
	reg := func(name string) tar.Header {
		return tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: 1}
	}
	return map[string][]byte{
		"outside":      archive(tb, reg("../victim")),
		"absolute":     archive(tb, reg("/tmp/victim")),
		"hidden":       archive(tb, reg("a/../../victim")),
		"through link": archive(tb, tar.Header{Name: "l", Typeflag: tar.TypeSymlink, Linkname: ".."}, reg("l/victim")),
		"link to link": archive(tb, tar.Header{Name: "l", Typeflag: tar.TypeSymlink, Linkname: "../.."}, tar.Header{Name: "l/x", Typeflag: tar.TypeDir, Mode: 0o755}),
		"hard link":    archive(tb, tar.Header{Name: "h", Typeflag: tar.TypeLink, Linkname: "../victim"}),
		"device":       archive(tb, tar.Header{Name: "d", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3}),
		"pipe":         archive(tb, tar.Header{Name: "p", Typeflag: tar.TypeFifo}),
		"root twice":   archive(tb, reg("./.")),
		"cut":          archive(tb, reg("a"))[:1024],
		"empty":        {},
		"no archive":   bytes.Repeat([]byte("x"), 2048),
	}
}

// TestHostile: all are refused, and nothing outside of the destination is touched.
func TestHostile(t *testing.T) {
	for name, text := range hostile(t) {
		outer := t.TempDir()
		write(t, filepath.Join(outer, "victim"), "untouched", 0o600)
		if s, err := Unpack(bytes.NewReader(text), filepath.Join(outer, "dst")); err == nil {
			t.Errorf("%s: taken: %+v", name, s)
		}
		got := tree(t, outer)
		if got["victim"] != "-rw------- untouched" {
			t.Errorf("%s: %v", name, got)
		}
	}
	set := archive(t, tar.Header{Name: "s", Typeflag: tar.TypeReg, Mode: 0o6755, Size: 1})
	dst := filepath.Join(t.TempDir(), "dst")
	if _, err := Unpack(bytes.NewReader(set), dst); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(dst, "s")); err != nil || info.Mode() != 0o755 {
		t.Errorf("a set-uid program arrived as %v, %v", info.Mode(), err)
	}
}

// FuzzUnpack takes any stream. Checked: no panic, nothing outside of the destination,
// nothing in it but files, directories and links.
func FuzzUnpack(f *testing.F) {
	for _, text := range hostile(f) {
		f.Add(text)
	}
	f.Add(archive(f, tar.Header{Name: "a", Typeflag: tar.TypeDir, Mode: 0o755}, tar.Header{Name: "a/b", Typeflag: tar.TypeReg, Size: 3, Mode: 0o644}))
	f.Fuzz(func(t *testing.T, text []byte) {
		outer := t.TempDir()
		write(t, filepath.Join(outer, "victim"), "untouched", 0o600)
		_, _ = Unpack(bytes.NewReader(text), filepath.Join(outer, "dst"))
		entries, err := os.ReadDir(outer)
		if err != nil || len(entries) > 2 {
			t.Fatalf("%v, %v", entries, err)
		}
		if got := tree(t, outer)["victim"]; got != "-rw------- untouched" {
			t.Fatalf("the file beside it is %s", got)
		}
		_ = filepath.WalkDir(filepath.Join(outer, "dst"), func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type()&^(fs.ModeDir|fs.ModeSymlink) != 0 {
				t.Fatalf("%s is %v", path, d.Type())
			}
			return nil
		})
	})
}
