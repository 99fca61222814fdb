// SPDX-License-Identifier: Apache-2.0

package boot

import (
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// rawTerminal gives the guest the terminal: no echo, no line editing, no flow
// control; only the interrupt key (ctrl-c) stays ours. The terminal is put back
// by the returned function, which may be called more than once, and by
// restoreTerminal, from wherever the process is about to end. raw is false, and
// nothing is done, when f is no terminal.
func rawTerminal(f *os.File) (restore func() error, raw bool, err error) {
	fd := int(f.Fd())
	old, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return func() error { return nil }, false, nil
	}
	t := *old
	t.Iflag &^= unix.ICRNL | unix.INLCR | unix.IGNCR | unix.IXON | unix.ISTRIP | unix.BRKINT
	t.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.IEXTEN
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
	t.Cc[unix.VQUIT], t.Cc[unix.VSUSP] = 0, 0 // these keys are the guest's
	terminal.mu.Lock()
	defer terminal.mu.Unlock()
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &t); err != nil {
		return nil, false, fmt.Errorf("set the terminal to raw mode: %w", err)
	}
	terminal.fd, terminal.old = fd, old
	return restoreTerminal, true, nil
}

// terminal is the process's one controlling terminal, while it is raw.
var terminal struct {
	mu  sync.Mutex
	fd  int
	old *unix.Termios // nil when there is nothing to restore
}

// restoreTerminal puts the terminal back as it was. It does nothing if it is.
func restoreTerminal() error {
	terminal.mu.Lock()
	defer terminal.mu.Unlock()
	if terminal.old == nil {
		return nil
	}
	// Drop what was typed for the guest and not read, so that the shell does
	// not get it.
	err := unix.IoctlSetTermios(terminal.fd, unix.TCSETSF, terminal.old)
	terminal.old = nil
	if err != nil {
		return fmt.Errorf("restore the terminal: %w", err)
	}
	return nil
}
