// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// ports maps the name of a virtio-serial port to its device.
type ports map[string]string

func findPorts() (ports, error) {
	names, err := filepath.Glob("/sys/class/virtio-ports/*/name")
	if err != nil {
		return nil, err
	}
	p := make(ports)
	for _, file := range names {
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		p[strings.TrimSpace(string(b))] = filepath.Join("/dev", filepath.Base(filepath.Dir(file)))
	}
	return p, nil
}

// open opens a port. The file stays in blocking mode, so that a write that has returned has reached QEMU: what the
// command wrote is out before the machine goes away.
func (p ports) open(name string) (*os.File, error) {
	dev, ok := p[name]
	if !ok {
		return nil, fmt.Errorf("QEMU gave no virtio-serial port called %s; there are %v", name, p)
	}
	fd, err := unix.Open(dev, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("%s (%s): %w", dev, name, err)
	}
	return os.NewFile(uintptr(fd), dev), nil
}
