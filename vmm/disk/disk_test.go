// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

func file(t *testing.T, name string, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t *testing.T, o Options) *Disk {
	t.Helper()
	d, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// pages is memory that direct I/O takes.
func pages(n int) []byte {
	b := make([]byte, (n+1)*4096)
	return b[-uintptr(unsafe.Pointer(&b[0]))%4096:][:n*4096]
}

func TestReadWrite(t *testing.T) {
	for _, direct := range []bool{false, true} {
		path := file(t, "d.raw", make([]byte, 1<<20))
		d := open(t, Options{Path: path, Direct: direct})
		if d.Size() != 1<<20 || d.BlockSize() < 512 || d.BlockSize() > 4096 || d.ReadOnly() {
			t.Errorf("size %d, block %d, read-only %t", d.Size(), d.BlockSize(), d.ReadOnly())
		}
		p := pages(1)
		copy(p, bytes.Repeat([]byte("data"), 1024))
		if _, err := d.WriteAt(p, 8192); err != nil {
			t.Fatal(err)
		}
		if err := d.Sync(); err != nil {
			t.Fatal(err)
		}
		got := pages(1)
		if _, err := d.ReadAt(got, 8192); err != nil || !bytes.Equal(got, p) {
			t.Errorf("direct %t: read back something else, %v", direct, err)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		onDisk, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(onDisk[8192:12288], p) || len(onDisk) != 1<<20 {
			t.Errorf("direct %t: the file has something else, %v", direct, err)
		}
	}
}

// TestErase: zeroes are zeroes, at any block and whether space is given back or
// not; what lies beside them stays.
func TestErase(t *testing.T) {
	full := bytes.Repeat([]byte{0xaa}, 64<<10)
	for name, erase := range map[string]func(d *Disk) error{
		"zeroes":    func(d *Disk) error { return d.WriteZeroes(512, 20<<10, false) },
		"and unmap": func(d *Disk) error { return d.WriteZeroes(512, 20<<10, true) },
		"nothing":   func(d *Disk) error { return d.WriteZeroes(512, 0, true) },
		"discard":   func(d *Disk) error { return d.Discard(512, 20<<10) },
	} {
		path := file(t, "d.raw", full)
		d := open(t, Options{Path: path})
		if err := erase(d); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		got, err := os.ReadFile(path)
		if err != nil || len(got) != len(full) {
			t.Fatalf("%s: %d bytes, %v", name, len(got), err)
		}
		within := got[512 : 512+20<<10]
		switch name {
		case "nothing":
			if !bytes.Equal(got, full) {
				t.Errorf("%s: it changed", name)
			}
		case "zeroes", "and unmap":
			if !bytes.Equal(within, make([]byte, len(within))) {
				t.Errorf("%s: not zero", name)
			}
		}
		if got[511] != 0xaa || !bytes.Equal(got[512+20<<10:], full[512+20<<10:]) {
			t.Errorf("%s: its neighbours changed", name)
		}
	}
}

// TestLocks: one writer or several readers. Each open file counts, so that two
// machines of one process are as far apart as two processes.
func TestLocks(t *testing.T) {
	path := file(t, "d.raw", make([]byte, 4096))
	refused := func(o Options) {
		t.Helper()
		if d, err := Open(o); err == nil || !strings.Contains(err.Error(), "in use") || !strings.Contains(err.Error(), path) {
			if err == nil {
				d.Close()
			}
			t.Errorf("%+v: %v", o, err)
		}
	}
	writer := open(t, Options{Path: path})
	refused(Options{Path: path})
	refused(Options{Path: path, ReadOnly: true})
	writer.Close()
	open(t, Options{Path: path, ReadOnly: true})
	last := open(t, Options{Path: path, ReadOnly: true})
	refused(Options{Path: path})
	if _, err := last.WriteAt(make([]byte, 512), 0); err == nil {
		t.Error("a read-only disk was written")
	}
}

// TestWrongImages: each error names the file, what it looks like and what to do.
func TestWrongImages(t *testing.T) {
	whole := func(magic string) []byte { return append([]byte(magic), make([]byte, 4096-len(magic))...) }
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"a.qcow2":  {whole("QFI\xfb"), "a qcow2 disk; expected a raw disk: convert it with `qemu-img convert"},
		"a.vhdx":   {whole("vhdxfile"), "VHDX"},
		"super":    {whole("\x3a\xff\x26\xed"), "simg2img"},
		"disk.xz":  {whole("\xfd7zXZ\x00"), "xz data; expected a raw disk: unpack"},
		"disk.zip": {whole("PK\x03\x04"), "zip archive"},
		"cut":      {make([]byte, 1000), "1000 bytes long; expected a multiple of 512"},
		"empty":    {nil, "0 bytes long"},
	} {
		path := file(t, name, c.data)
		if _, err := Open(Options{Path: path}); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
	}
	dir := t.TempDir()
	if _, err := Open(Options{Path: dir, ReadOnly: true}); err == nil || !strings.Contains(err.Error(), "neither a file nor a block device") {
		t.Errorf("a directory: %v", err)
	}
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Path: fifo}); err == nil {
		t.Error("a pipe was opened")
	}
}
