// SPDX-License-Identifier: Apache-2.0

package oracle

import (
	"bytes"
	"io"
	"os"

	"github.com/u-root/u-root/pkg/cpio"
	"golang.org/x/sys/unix"
)

// writeInitrd makes an initramfs: a prepared archive and, behind it, one with programs
// at the root, by their names there.
func writeInitrd(path, base string, programs map[string]string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	prepared, err := os.Open(base)
	if err != nil {
		return err
	}
	defer prepared.Close()
	n, err := io.Copy(f, prepared)
	if err != nil {
		return err
	}
	if _, err := f.Write(make([]byte, -n&3)); err != nil { // each archive begins at a multiple of four
		return err
	}
	w := cpio.Newc.Writer(f)
	ino := uint64(0)
	for name, source := range programs {
		data, err := os.ReadFile(source)
		if err != nil {
			return err
		}
		ino++
		err = w.WriteRecord(cpio.Record{ReaderAt: bytes.NewReader(data), Info: cpio.Info{
			Ino: ino, NLink: 1, Name: name, Mode: unix.S_IFREG | 0o755, FileSize: uint64(len(data)),
		}})
		if err != nil {
			return err
		}
	}
	if err := cpio.WriteTrailer(w); err != nil {
		return err
	}
	return f.Close()
}
