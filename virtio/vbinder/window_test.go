// SPDX-License-Identifier: Apache-2.0

package vbinder

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

// TestWindowCannotShrink: an access of ours beyond the file's end would be a SIGBUS, so
// nobody can cut the file, whoever has its descriptor.
func TestWindowCannotShrink(t *testing.T) {
	w, err := newWindow("test", 1<<20, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	for _, size := range []int64{0, 4096, 1 << 30} {
		if err := w.file.Truncate(size); !errors.Is(err, unix.EPERM) {
			t.Errorf("cut to %d bytes: %v", size, err)
		}
	}
}
