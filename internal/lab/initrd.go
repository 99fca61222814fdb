// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/u-root/u-root/pkg/cpio"
	"golang.org/x/sys/unix"

	"virtbinder/internal/lab/job"
)

// writeInitrd makes an L1's initramfs: the prepared archive and, behind it, one with init and the job. The kernel
// unpacks archives that follow each other.
func writeInitrd(path, base, init string, j *job.Job) error {
	text, err := json.Marshal(j)
	if err != nil {
		return err
	}
	program, err := os.ReadFile(init)
	if err != nil {
		return err
	}
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
	if pad := -n & 3; pad != 0 { // each archive begins at a multiple of four
		if _, err := f.Write(make([]byte, pad)); err != nil {
			return err
		}
	}
	w := cpio.Newc.Writer(f)
	for i, rec := range []struct {
		name string
		mode uint64
		data []byte
	}{{"init", 0o755, program}, {strings.TrimPrefix(job.File, "/"), 0o644, text}} {
		err := w.WriteRecord(cpio.Record{ReaderAt: bytes.NewReader(rec.data), Info: cpio.Info{
			Ino: uint64(i + 1), NLink: 1, Name: rec.name, Mode: unix.S_IFREG | rec.mode, FileSize: uint64(len(rec.data)),
		}})
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	if err := cpio.WriteTrailer(w); err != nil {
		return err
	}
	return f.Close()
}
