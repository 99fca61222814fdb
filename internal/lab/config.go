// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"virtbinder/internal/lab/job"
)

// Kernels that the lab's host can have: 6.12 has no binder netlink family, 7.x has one once the stock binder driver
// is loaded (Config.Binder).
var Kernels = []string{"6.12", "7.x"}

// Config is a command and the host to run it on. The zero value of each field but Args has a meaning that works.
type Config struct {
	Top    string // the project's directory; found from the working directory or the program's when empty
	Kernel string // one of Kernels; 6.12 when empty
	CPUs   int    // 1 when 0; 2 is for SMP tests, and slower
	Memory int    // MiB; 2048 when 0
	Binder string // not empty: load the host's own binder driver with these devices=, for its netlink family

	Args  []string // the command, found along PATH on the lab's host
	Env   []string // NAME=VALUE
	Dir   string   // Top when empty
	User  bool     // as the ordinary user (uid 1000), not root
	TTY   bool     // give it a terminal; Stdin and Stdout should be one, in raw mode
	Rows  uint16
	Cols  uint16
	Stdin io.Reader // end of file when nil

	Stdout io.Writer // discarded when nil
	Stderr io.Writer
}

// image is what Config resolves to on disk.
type image struct {
	top, build, qemu, vmlinux, initrd, init string
}

// resolve fills in the defaults and finds the files, or says which one is missing and what makes it.
func (c *Config) resolve() (*image, error) {
	if len(c.Args) == 0 {
		return nil, errors.New("lab: no command")
	}
	if c.Kernel == "" {
		c.Kernel = Kernels[0]
	}
	if c.CPUs == 0 {
		c.CPUs = 1
	}
	if c.Memory == 0 {
		c.Memory = 2048
	}
	top := c.Top
	if top == "" {
		var err error
		if top, err = FindTop(); err != nil {
			return nil, err
		}
	}
	top, err := filepath.Abs(top)
	if err != nil {
		return nil, err
	}
	if c.Dir == "" {
		c.Dir = top
	}
	build := filepath.Join(top, "build")
	images := filepath.Join(build, "images")
	im := &image{
		top:     top,
		build:   build,
		qemu:    filepath.Join(images, "qemu", "qemu-system-x86_64"),
		vmlinux: filepath.Join(images, "l1", c.Kernel, "vmlinux"),
		initrd:  filepath.Join(images, "l1-initrd", c.Kernel+".cpio"),
		init:    filepath.Join(build, "lab", "init"),
	}
	for _, file := range []string{im.qemu, im.vmlinux, im.initrd, im.init} {
		if _, err := os.Stat(file); err != nil {
			return nil, fmt.Errorf("lab: %w; run `make lab-images` in %s (kernels: %s)", err, top, strings.Join(Kernels, ", "))
		}
	}
	return im, nil
}

// FindTop finds the project's directory: the one above the working directory or above the running program that holds
// its go.mod.
func FindTop() (string, error) {
	var starts []string
	if wd, err := os.Getwd(); err == nil {
		starts = append(starts, wd)
	}
	if exe, err := os.Executable(); err == nil {
		starts = append(starts, filepath.Dir(exe))
	}
	for _, dir := range starts {
		for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
			b, err := os.ReadFile(filepath.Join(dir, "go.mod"))
			if err == nil && strings.HasPrefix(string(b), "module virtbinder\n") {
				return dir, nil
			}
		}
	}
	return "", errors.New("lab: not inside virtbinder's source tree, and the program does not lie in one; change to it first")
}

// shares are the directories that the lab's host sees: the tree and the cache read-only, build read-write.
func (im *image) shares() ([]job.Share, error) {
	shares := []job.Share{
		{Tag: "top", Path: im.top, ReadOnly: true},
		{Tag: "build", Path: im.build},
	}
	if real, err := filepath.EvalSymlinks(im.build); err != nil {
		return nil, err
	} else if real != im.build {
		shares = append(shares, job.Share{Tag: "realbuild", Path: real})
	}
	// build/images is links into the cache.
	real, err := filepath.EvalSymlinks(im.vmlinux)
	if err != nil {
		return nil, err
	}
	cache := filepath.Dir(filepath.Dir(real))
	return append(shares, job.Share{Tag: "cache", Path: cache, ReadOnly: true}), nil
}
