// SPDX-License-Identifier: Apache-2.0

package chardev

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// ptyPatience is how long a program at the other end may take to make room before
// what is printed is dropped, until it reads again.
const ptyPatience = 100 * time.Millisecond

// OpenPTY makes a pseudo terminal. If link is not empty, a symbolic link to its
// other end is made there; one that a former machine left is replaced.
func OpenPTY(link string) (*Device, error) {
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("console: pseudo terminal: %w", err)
	}
	p := &pty{master: master}
	if err := p.open(link); err != nil {
		p.close()
		return nil, err
	}
	return &Device{In: master, Out: p, Where: p.slave.Name(), close: p.close}, nil
}

// pty is a pseudo terminal. Its other end is held open here too, so that reads go
// on when the last program there has gone.
type pty struct {
	master, slave *os.File
	link          string
	unread        bool // nobody made room at the last write
}

func (p *pty) open(link string) error {
	control, err := p.master.SyscallConn()
	if err != nil {
		return fmt.Errorf("console: pseudo terminal: %w", err)
	}
	var number int
	var errs [2]error
	err = control.Control(func(fd uintptr) {
		errs[0] = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0)
		number, errs[1] = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
	})
	if err := errors.Join(err, errs[0], errs[1]); err != nil {
		return fmt.Errorf("console: pseudo terminal: %w", err)
	}
	p.slave, err = os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return fmt.Errorf("console: pseudo terminal: %w", err)
	}
	if err := makeRaw(p.slave); err != nil {
		return fmt.Errorf("console: pseudo terminal: %w", err)
	}
	if link == "" {
		return nil
	}
	if old, err := os.Lstat(link); err == nil && old.Mode().Type() == fs.ModeSymlink {
		_ = os.Remove(link)
	}
	if err := os.Symlink(p.slave.Name(), link); err != nil {
		return fmt.Errorf("console: %w", err)
	}
	p.link = link
	return nil
}

// makeRaw leaves echo and line editing to the guest.
func makeRaw(f *os.File) error {
	t, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		return err
	}
	t.Iflag &^= unix.ICRNL | unix.INLCR | unix.IGNCR | unix.IXON | unix.ISTRIP | unix.BRKINT
	t.Oflag &^= unix.OPOST
	t.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
	return unix.IoctlSetTermios(int(f.Fd()), unix.TCSETS, t)
}

// Write prints; what nobody reads is dropped once the terminal is full of it.
func (p *pty) Write(b []byte) (int, error) {
	wait := ptyPatience
	if p.unread {
		wait = time.Millisecond // a deadline in the past would not even try
	}
	if err := p.master.SetWriteDeadline(time.Now().Add(wait)); err != nil {
		return 0, err
	}
	_, err := p.master.Write(b)
	p.unread = errors.Is(err, os.ErrDeadlineExceeded)
	if err != nil && !p.unread {
		return 0, err
	}
	return len(b), nil
}

func (p *pty) close() error {
	if p.link != "" {
		_ = os.Remove(p.link)
	}
	if p.slave != nil {
		p.slave.Close()
	}
	return p.master.Close()
}
