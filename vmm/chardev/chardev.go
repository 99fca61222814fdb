// SPDX-License-Identifier: Apache-2.0

// Package chardev is where a guest's console can lead besides this process's own
// terminal: a file, a pseudo terminal or a Unix socket. None of them makes the guest
// wait for somebody who does not read.
package chardev

import (
	"fmt"
	"io"
	"os"
)

// Device is the host's end of a console.
type Device struct {
	In    io.Reader // nil if nothing can be typed
	Out   io.Writer
	Where string // for the user: a path to open or connect to

	close func() error
}

// Close ends reads and writes and removes what was made in the file system, but
// for the file of OpenFile.
func (d *Device) Close() error { return d.close() }

// OpenFile keeps what is printed in a file, from its beginning.
func OpenFile(path string) (*Device, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644)
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	return &Device{Out: f, Where: path, close: f.Close}, nil
}
