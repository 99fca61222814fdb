// SPDX-License-Identifier: Apache-2.0

package driver

import (
	"errors"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"virtbinder/driver/uapi"
)

func TestContextsOfOneNameAreApart(t *testing.T) {
	w := newWorld(t)
	first := w.open(1)
	first.manage()
	w.binder = w.context("binder")
	second := w.open(2)
	second.manage() // EBUSY were it the same
	read := second.send(enter, nil, true)
	w.open(3).send(call(0, 1, 0, 0, 0), nil, false)
	w.want(read, "TRANSACTION")
}

// TestContextEndsWithItsLastUser: the first manager's uid is pinned for the life of
// the context, and no longer.
func TestContextEndsWithItsLastUser(t *testing.T) {
	w := newWorld(t)
	manager, other := w.open(1), w.open(2) // of different uids
	manager.manage()
	w.vm.Release(w.x, manager.id)
	if errno, _ := other.ioctl(uapi.BINDER_SET_CONTEXT_MGR, [24]byte{}); errno != unix.EPERM {
		t.Errorf("another uid becomes manager: %v", errno)
	}
	w.vm.EndContext(w.binder)
	if _, err := w.vm.Open(w.x, OpenArgs{Context: w.binder, PID: 3}); !errors.Is(err, unix.EINVAL) {
		t.Errorf("open of a context that has ended: %v", err)
	}
	if n := len(w.vm.contexts); n != 1 {
		t.Errorf("%d contexts while a process has one open", n)
	}
	w.vm.Release(w.x, other.id)
	if n := len(w.vm.contexts); n != 0 {
		t.Errorf("%d contexts after the last release", n)
	}
	w.vm.EndContext(w.binder) // a second end is no matter
}

func TestContextEndsWithReset(t *testing.T) {
	w := newWorld(t)
	w.open(1).manage()
	w.vm.Reset(w.x)
	if _, err := w.vm.Open(w.x, OpenArgs{Context: w.binder, PID: 3}); !errors.Is(err, unix.EINVAL) {
		t.Errorf("open of a context from before the reset: %v", err)
	}
	w.binder = w.context("binder")
	w.open(2).manage() // EPERM were the uid still pinned
}

func TestContextNames(t *testing.T) {
	vm := New(Config{Limits: Limits{Contexts: 2}}).NewVM("test", nil)
	for _, bad := range []string{"", "a/b", "a\x00b", strings.Repeat("x", 256)} {
		if _, err := vm.NewContext(bad); !errors.Is(err, unix.EINVAL) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	long, err := vm.NewContext(strings.Repeat("x", 255))
	if err != nil {
		t.Error(err)
	}
	odd, err := vm.NewContext("a b\nproc 1\x1b[m\xffé")
	if err != nil {
		t.Error(err)
	}
	if got := vm.contexts[odd].name; got != "a b?proc 1?[m?é" {
		t.Errorf("shown as %q", got)
	}
	if _, err := vm.NewContext("one more"); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("past the limit: %v", err)
	}
	vm.EndContext(long)
	if _, err := vm.NewContext("one more"); err != nil {
		t.Errorf("after one has ended: %v", err)
	}
}
