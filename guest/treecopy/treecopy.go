// SPDX-License-Identifier: Apache-2.0

// Package treecopy packs a file or a directory with all below it into a stream, and
// unpacks it elsewhere: the substance of `virtbinder cp`, run on the host and in the
// guest. The stream is a tar archive whose first entry, ".", is what was named.
//
// An archive comes from a guest and is not trusted: nothing is made, changed or
// followed outside of the destination, no device, pipe or socket is made, no bit
// beyond rwx is set, and a sparse file's holes are not taken for data. How much it
// makes is up to whoever asked for it.
package treecopy

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

const permissions = 0o777

// maxSkipped bounds the names of files that were left out.
const maxSkipped = 16

// Summary is what a copy came to.
type Summary struct {
	Files   int      `json:"files"` // directories are counted as well
	Bytes   int64    `json:"bytes"`
	Left    int      `json:"left_out,omitempty"` // devices, pipes and sockets
	Skipped []string `json:"skipped,omitempty"`  // the first of them
}

func (s *Summary) skip(name string) {
	s.Left++
	if len(s.Skipped) < maxSkipped {
		s.Skipped = append(s.Skipped, name)
	}
}

// Target is where a file called name goes that is copied to dst: into dst, if that is
// a directory.
func Target(dst, name string) (string, error) {
	info, err := os.Stat(dst)
	switch {
	case err == nil && info.IsDir():
		return filepath.Join(dst, name), nil
	case err == nil && strings.HasSuffix(dst, "/"):
		return "", fmt.Errorf("%s: not a directory", dst)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return "", err
	}
	return filepath.Clean(dst), nil
}

// Pack writes the file or directory at root to w. A symbolic link is followed if it is
// root, and kept if it is below.
func Pack(w io.Writer, root string) (s Summary, err error) {
	info, err := os.Stat(root)
	if err != nil {
		return s, err
	}
	p := &packer{tar: tar.NewWriter(w), summary: &s}
	if !info.IsDir() {
		err = p.add(root, ".", info)
	} else {
		root += "/" // follows a link
		err = filepath.WalkDir(root, func(at string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(root, at)
			if err != nil {
				return err
			}
			info, err := os.Lstat(at)
			if rel == "." {
				info, err = os.Stat(at)
			}
			if err != nil {
				return err
			}
			return p.add(at, rel, info)
		})
	}
	return s, errors.Join(err, p.tar.Close())
}

type packer struct {
	tar     *tar.Writer
	summary *Summary
}

// add writes the file at path as the entry called name.
func (p *packer) add(path, name string, info fs.FileInfo) error {
	header := &tar.Header{Name: filepath.ToSlash(name), Mode: int64(info.Mode() & permissions), ModTime: info.ModTime(), Format: tar.FormatPAX}
	switch info.Mode().Type() {
	case 0:
		header.Typeflag, header.Size = tar.TypeReg, info.Size()
	case fs.ModeDir:
		header.Typeflag = tar.TypeDir
	case fs.ModeSymlink:
		header.Typeflag = tar.TypeSymlink
		var err error
		if header.Linkname, err = os.Readlink(path); err != nil {
			return err
		}
	default:
		if name == "." {
			return fmt.Errorf("%s: neither a file nor a directory", path)
		}
		p.summary.skip(path)
		return nil
	}
	if err := p.tar.WriteHeader(header); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	p.summary.Files++
	if header.Typeflag != tar.TypeReg {
		return nil
	}
	return p.content(path, header.Size)
}

// content writes a file's bytes, of which there have to be size.
func (p *packer) content(path string, size int64) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	n, err := io.Copy(p.tar, io.LimitReader(f, size))
	p.summary.Bytes += n
	if err == nil && n < size {
		err = fmt.Errorf("%s: it became shorter while it was read", path)
	}
	return err
}

// Unpack makes what r holds at dst, which a directory may be already; files of the
// same names are replaced.
func Unpack(r io.Reader, dst string) (s Summary, err error) {
	in := tar.NewReader(r)
	first, err := in.Next()
	if err != nil {
		return s, malformed(err)
	}
	if err := check(first); err != nil {
		return s, err
	}
	if path.Clean(first.Name) != "." {
		return s, fmt.Errorf("the copy begins with %.100q, not with what was asked for", first.Name)
	}
	u := &unpacker{tar: in, summary: &s}
	if first.Typeflag == tar.TypeReg {
		err = u.single(first, dst)
	} else {
		err = u.directory(first, dst)
	}
	return s, err
}

func malformed(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("the copy is cut short or malformed: %w", err)
}

// check refuses what no copy has.
func check(h *tar.Header) error {
	if !filepath.IsLocal(path.Clean(h.Name)) {
		return fmt.Errorf("the copy has a file %.100q, outside of it", h.Name)
	}
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return fmt.Errorf("the copy has a sparse file %.100q", h.Name)
		}
	}
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeDir:
		return nil
	case tar.TypeSymlink:
		if path.Clean(h.Name) != "." {
			return nil
		}
	}
	return fmt.Errorf("the copy has %.100q of type %q, which is not copied", h.Name, h.Typeflag)
}

type unpacker struct {
	tar     *tar.Reader
	summary *Summary
}

// single is an archive of one file. The destination is the user's own: a link there is
// followed.
func (u *unpacker) single(h *tar.Header, dst string) error {
	f, err := os.OpenFile(dst, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, fs.FileMode(h.Mode)&permissions)
	if err != nil {
		return err
	}
	if err := u.fill(f, h); err != nil {
		return err
	}
	if _, err := u.tar.Next(); !errors.Is(err, io.EOF) {
		return errors.New("the copy of one file has more than that")
	}
	return nil
}

func (u *unpacker) directory(h *tar.Header, dst string) error {
	if err := os.Mkdir(dst, dirMode(h)); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	root, err := os.OpenRoot(dst)
	if err != nil {
		return err
	}
	defer root.Close()
	u.summary.Files++
	for {
		h, err := u.tar.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return malformed(err)
		}
		if err := check(h); err != nil {
			return err
		}
		if err := u.entry(root, h); err != nil {
			return err
		}
	}
}

// dirMode keeps a directory usable for its owner, so that it can be filled.
func dirMode(h *tar.Header) fs.FileMode { return fs.FileMode(h.Mode)&permissions | 0o700 }

// entry makes one file below root, which nothing leads out of.
func (u *unpacker) entry(root *os.Root, h *tar.Header) error {
	name := path.Clean(h.Name)
	if name == "." {
		return errors.New("the copy has its root twice")
	}
	switch h.Typeflag {
	case tar.TypeDir:
		if err := root.Mkdir(name, dirMode(h)); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		u.summary.Files++
		return nil
	case tar.TypeSymlink:
		if err := clear(root, name); err != nil {
			return err
		}
		u.summary.Files++
		return root.Symlink(h.Linkname, name)
	}
	if err := clear(root, name); err != nil {
		return err
	}
	f, err := root.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_EXCL, fs.FileMode(h.Mode)&permissions)
	if err != nil {
		return err
	}
	return u.fill(f, h)
}

// clear makes room for a new file: what is there is not written through.
func clear(root *os.Root, name string) error {
	if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// fill writes a file's bytes and closes it.
func (u *unpacker) fill(f *os.File, h *tar.Header) error {
	n, err := io.Copy(f, u.tar)
	u.summary.Bytes += n
	u.summary.Files++
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = malformed(err)
	}
	if err == nil {
		err = f.Chmod(fs.FileMode(h.Mode) & permissions) // of one that was there, or past the umask
	}
	return errors.Join(err, f.Close())
}
