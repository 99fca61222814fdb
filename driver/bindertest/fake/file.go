// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// file is an open file: descriptors, tokens, mappings and calls under way hold it.
type file struct {
	refs     int
	id       string // its identity
	release  func() // at the last put
	binder   *binder
	pipe     *pipe
	writer   bool   // of the pipe
	data     []byte // of a regular file
	members  []*file
	nonblock bool
}

type pipe struct {
	buf     []byte
	writers int
}

func (k *Kernel) newFile(kind string) *file {
	k.fileID++
	return &file{id: fmt.Sprint(kind, k.fileID)}
}

func (f *file) put() {
	if f.refs--; f.refs == 0 && f.release != nil {
		f.release()
	}
}

// descriptor is an entry of a process's table.
type descriptor struct {
	file    *file
	cloexec bool
}

// reserve takes the lowest free number.
func (p *process) reserve() (int, unix.Errno) {
	for n := 3; n < p.maxFDs; n++ {
		if _, used := p.fds[n]; !used {
			p.fds[n] = nil
			return n, 0
		}
	}
	return 0, unix.EMFILE
}

// install puts f, with one reference, at a reserved number.
func (p *process) install(n int, f *file, cloexec bool) {
	p.fds[n] = &descriptor{f, cloexec}
}

// add installs a new reference to f.
func (p *process) add(f *file, cloexec bool) (int, unix.Errno) {
	n, errno := p.reserve()
	if errno == 0 {
		f.refs++
		p.install(n, f, cloexec)
	}
	return n, errno
}

func (p *process) file(n int) *file {
	if d := p.fds[n]; d != nil {
		return d.file
	}
	return nil
}

// closeFD is close(2): a flush, then perhaps the last put.
func (p *process) closeFD(n int) unix.Errno {
	f := p.file(n)
	if f == nil {
		return unix.EBADF
	}
	delete(p.fds, n)
	if f.binder != nil {
		p.k.transport.flush(f.binder.id)
	}
	f.put()
	return 0
}

func (p *process) sortedFDs() []int {
	var all []int
	for n, d := range p.fds {
		if d != nil {
			all = append(all, n)
		}
	}
	slices.Sort(all)
	return all
}
