// SPDX-License-Identifier: Apache-2.0

// Command mkcpio writes an initramfs archive (cpio, "newc", uncompressed) from a list, so that images are made without
// root and come out the same for the same input: owners are root, times are zero, the order is the list's.
//
//	mkcpio -o OUT.cpio < LIST
//
// A line of the list is one of
//
//	dir  PATH MODE
//	file PATH MODE SOURCE
//	link PATH TARGET
//	char PATH MODE MAJOR MINOR
//	tree PATH SOURCE            a directory with everything below it, modes and symbolic links kept
//
// Empty lines and lines that begin with # are skipped; parents that no line named are added with mode 0755.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/u-root/u-root/pkg/cpio"
	"golang.org/x/sys/unix"
)

func main() {
	out := flag.String("o", "", "write the archive to this `file`")
	flag.Parse()
	if *out == "" || flag.NArg() != 0 {
		fmt.Fprintln(os.Stderr, "usage: mkcpio -o OUT.cpio < LIST")
		os.Exit(2)
	}
	if err := run(*out, os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "mkcpio:", err)
		os.Exit(1)
	}
}

// run writes the archive beside out and renames it into place when it is whole.
func run(out string, list io.Reader) error {
	tmp, err := os.CreateTemp(filepath.Dir(out), filepath.Base(out)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	defer tmp.Close()
	buf := bufio.NewWriterSize(tmp, 1<<20)
	if err := compose(buf, list); err != nil {
		return err
	}
	if err := buf.Flush(); err != nil {
		return err
	}
	if err := tmp.Chmod(0o644); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), out)
}

func compose(w io.Writer, list io.Reader) error {
	a := &archive{w: cpio.Newc.Writer(w), seen: map[string]bool{"": true, ".": true}}
	lines := bufio.NewScanner(list)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		if err := a.line(strings.Fields(line)); err != nil {
			return fmt.Errorf("line %d (%s): %w", n, line, err)
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return cpio.WriteTrailer(a.w)
}

// archive adds records, each path once (the first wins) and each parent before its children.
type archive struct {
	w    cpio.RecordWriter
	ino  uint64
	seen map[string]bool
}

var arity = map[string]int{"dir": 3, "file": 4, "link": 3, "char": 5, "tree": 3}

func (a *archive) line(f []string) error {
	if want, ok := arity[f[0]]; !ok || len(f) != want {
		return fmt.Errorf("not a line of a known form")
	}
	switch name := f[1]; f[0] {
	case "link":
		return a.link(name, f[2])
	case "tree":
		return a.tree(name, f[2])
	case "file":
		mode, err := strconv.ParseUint(f[2], 8, 12)
		if err != nil {
			return err
		}
		return a.file(name, mode, f[3])
	case "dir":
		mode, err := strconv.ParseUint(f[2], 8, 12)
		if err != nil {
			return err
		}
		return a.dir(name, mode)
	default:
		return a.char(name, f[2:])
	}
}

func (a *archive) char(name string, f []string) error {
	var n [3]uint64
	for i, base := range []int{8, 10, 10} {
		v, err := strconv.ParseUint(f[i], base, 20)
		if err != nil {
			return err
		}
		n[i] = v
	}
	return a.add(name, cpio.Record{Info: cpio.Info{Mode: unix.S_IFCHR | n[0], Rmajor: n[1], Rminor: n[2]}})
}

func (a *archive) dir(name string, mode uint64) error {
	return a.add(name, cpio.Record{Info: cpio.Info{Mode: unix.S_IFDIR | mode}})
}

func (a *archive) link(name, target string) error {
	return a.add(name, cpio.Record{
		ReaderAt: strings.NewReader(target),
		Info:     cpio.Info{Mode: unix.S_IFLNK | 0o777, FileSize: uint64(len(target))},
	})
}

func (a *archive) file(name string, mode uint64, source string) error {
	f, err := os.Open(source)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	return a.add(name, cpio.Record{ReaderAt: f, Info: cpio.Info{Mode: unix.S_IFREG | mode, FileSize: uint64(st.Size())}})
}

func (a *archive) tree(name, source string) error {
	return filepath.WalkDir(source, func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(source, p)
		if err != nil {
			return err
		}
		return a.entry(path.Join(name, filepath.ToSlash(rel)), p, e)
	})
}

func (a *archive) entry(name, source string, e fs.DirEntry) error {
	info, err := e.Info()
	if err != nil {
		return err
	}
	switch info.Mode().Type() {
	case fs.ModeDir:
		return a.dir(name, uint64(info.Mode().Perm()))
	case fs.ModeSymlink:
		target, err := os.Readlink(source)
		if err != nil {
			return err
		}
		return a.link(name, target)
	case 0:
		return a.file(name, uint64(info.Mode().Perm()), source)
	}
	return fmt.Errorf("%s: a %v cannot be put into an image", source, info.Mode().Type())
}

// add writes one record and, before it, the parents that are missing.
func (a *archive) add(name string, r cpio.Record) error {
	name = strings.TrimPrefix(path.Clean("/"+name), "/")
	if a.seen[name] {
		return nil
	}
	if err := a.dir(path.Dir(name), 0o755); err != nil {
		return err
	}
	a.seen[name] = true
	a.ino++
	r.Name, r.Ino, r.NLink = name, a.ino, 1
	return a.w.WriteRecord(r)
}
