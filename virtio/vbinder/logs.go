// SPDX-License-Identifier: Apache-2.0

package vbinder

import (
	"golang.org/x/sys/unix"

	"virtbinder/internal/lockrank"
	"virtbinder/virtio/vbinder/wire"
)

const (
	// maxSnapshots is how many log files a guest may read at a time. One more and the
	// oldest is dropped: who holds a file open keeps nobody from reading.
	maxSnapshots = 8
	// maxLogText is what one of them may have, in bytes.
	maxLogText = 8 << 20
)

// snapshots are the texts of log files that a guest is reading. A snapshot is taken
// with the first read, so that a file does not change under its reader.
type snapshots struct {
	mu   lockrank.Mutex // guards the rest
	last uint64
	open []snapshot // oldest first
}

type snapshot struct {
	id   uint64
	text []byte
}

func (s *snapshots) init() { s.mu.Init(lockrank.Device, "vbinder.snapshots.mu") }

// add keeps a text and returns its id.
func (s *snapshots) add(text []byte) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.open) == maxSnapshots {
		s.open = append(s.open[:0], s.open[1:]...)
	}
	s.last++
	s.open = append(s.open, snapshot{s.last, text})
	return s.last
}

// text returns a snapshot's text, which nobody writes.
func (s *snapshots) text(id uint64) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.open {
		if s.open[i].id == id {
			return s.open[i].text, true
		}
	}
	return nil, false
}

func (s *snapshots) remove(id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.open {
		if s.open[i].id == id {
			s.open = append(s.open[:i], s.open[i+1:]...)
			return
		}
	}
}

func (s *snapshots) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open = nil
}

// readLog is LOG: it takes a snapshot if none is named and answers with a part of
// its text. ESTALE says that the snapshot was dropped for newer ones.
func (run *runner) readLog(r *request) (bool, error) {
	q, err := wire.ParseLog(r.ctl)
	if err == nil {
		err = r.room(0, 0, q.Room)
	}
	if err != nil {
		return false, err
	}
	d := run.queue.dev
	if q.Snapshot == 0 {
		text, known := d.VM().Dump(q.Kind, q.PID, maxLogText)
		if !known {
			return false, &wire.Error{Errno: unix.EINVAL, Field: "vbinder_log.kind", Value: uint64(q.Kind), Reason: "not a log file"}
		}
		q.Snapshot = d.snapshots.add(text)
	}
	text, known := d.snapshots.text(q.Snapshot)
	if !known {
		r.answer(unix.ESTALE)
		return false, nil
	}
	r.core.Resp.Val = q.Snapshot
	if q.Pos < uint64(len(text)) {
		rest := text[q.Pos:]
		r.core.Resp.BR = append(r.core.Resp.BR, rest[:min(len(rest), int(q.Room))]...)
	}
	return false, nil
}

// closeLog is LOG_CLOSE.
func (run *runner) closeLog(r *request) (bool, error) {
	id, err := wire.ParseLogClose(r.ctl)
	if err != nil {
		return false, err
	}
	run.queue.dev.snapshots.remove(id)
	return false, nil
}
