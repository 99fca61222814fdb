// SPDX-License-Identifier: Apache-2.0

package netlink

import (
	"errors"
	"fmt"

	"github.com/mdlayher/genetlink"
	"golang.org/x/sys/unix"
)

// resolver asks the kernel's nlctrl which families there are, and hears of
// changes. Both its sockets need no privilege and are opened once, so it works
// after privileges and system calls are given up.
//
// changed may be called from one goroutine while families is called from
// another.
type resolver interface {
	// families lists what is registered now.
	families() (families, error)
	// changed blocks until families may have come or gone; it returns an error
	// after close.
	changed() error
	close() error
}

type ctrlResolver struct {
	query, notify *genetlink.Conn
}

// newResolver subscribes to changes before anybody asks, so none is missed.
func newResolver() (resolver, error) {
	query, err := genetlink.Dial(nil)
	if err != nil {
		return nil, fmt.Errorf("open generic netlink: %w", err)
	}
	notify, err := genetlink.Dial(nil)
	if err != nil {
		query.Close()
		return nil, fmt.Errorf("open generic netlink: %w", err)
	}
	r := &ctrlResolver{query, notify}
	if err := r.subscribe(); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func (r *ctrlResolver) subscribe() error {
	ctrl, err := r.query.GetFamily("nlctrl")
	if err != nil {
		return fmt.Errorf("ask generic netlink for its controller: %w", err)
	}
	for _, g := range ctrl.Groups {
		if g.Name == "notify" {
			return r.notify.JoinGroup(g.ID)
		}
	}
	return errors.New("generic netlink has no notify group")
}

func (r *ctrlResolver) families() (families, error) {
	list, err := r.query.ListFamilies()
	if err != nil {
		return families{}, fmt.Errorf("list generic netlink families: %w", err)
	}
	var f families
	for _, fam := range list {
		f.add(fam)
	}
	return f, nil
}

func (f *families) add(fam genetlink.Family) {
	for _, g := range fam.Groups {
		if g.ID == FallbackGroup && fam.Name != FamilyName {
			f.fallbackOwner = fam.Name
		}
	}
	if fam.Name != FamilyName {
		return
	}
	f.binder = &Family{ID: fam.ID}
	for _, g := range fam.Groups {
		if g.Name == GroupName {
			f.binder.Group = g.ID
		}
	}
}

// changed takes every message, and the loss of some, for a change: asking once
// too often costs little.
func (r *ctrlResolver) changed() error {
	_, _, err := r.notify.Receive()
	if errors.Is(err, unix.ENOBUFS) {
		return nil
	}
	return err
}

func (r *ctrlResolver) close() error {
	return errors.Join(r.query.Close(), r.notify.Close())
}
