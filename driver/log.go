// SPDX-License-Identifier: Apache-2.0

package driver

import (
	"time"

	"virtbinder/driver/uapi"
)

// instant is a time since the program began. It is half as dear as a time.Time, and each
// transaction needs one.
type instant time.Duration

var beginning = time.Now()

func now() instant { return instant(time.Since(beginning)) }

// logSize is how many transactions each log remembers, as in the kernel's driver.
const logSize = 32

// LogEntry is one transaction that came to its queueing, or failed before. Zero pids
// and node say that it failed before they were known.
type LogEntry struct {
	ID          uint64    `json:"id"`
	Time        time.Time `json:"time"` // of its start
	Type        string    `json:"type"` // "call", "async" or "reply"
	FromPID     uint32    `json:"from_pid"`
	FromTID     uint32    `json:"from_tid"`
	ToPID       uint32    `json:"to_pid"`
	ToTID       uint32    `json:"to_tid"` // 0: any thread of the process
	Context     string    `json:"context"`
	Node        uint64    `json:"node"`
	Handle      uint32    `json:"handle"`
	Code        uint32    `json:"code"`
	Flags       uint32    `json:"flags"`
	DataSize    uint64    `json:"data_size"`
	OffsetsSize uint64    `json:"offsets_size"`
	Error       uint32    `json:"error"` // BR code, 0 for success
	Param       int32     `json:"param"` // -errno behind it

	started instant
}

// ErrorName names what the sender, or for a reply the caller, was answered; "" for
// success.
func (e *LogEntry) ErrorName() string {
	if e.Error == 0 {
		return ""
	}
	return uapi.ReturnName(e.Error)
}

// logRing keeps the latest entries. Guarded by Core.mu.
type logRing struct {
	entries [logSize]LogEntry
	n       uint64 // ever added
}

// next is the place of another entry, which holds an old one.
func (l *logRing) next() *LogEntry {
	e := &l.entries[l.n%logSize]
	l.n++
	return e
}

// list copies what is there, oldest first.
func (l *logRing) list() []LogEntry {
	n := min(l.n, logSize)
	out := make([]LogEntry, 0, n)
	wall, at := time.Now(), now()
	for i := l.n - n; i < l.n; i++ {
		e := l.entries[i%logSize]
		e.Time = wall.Add(time.Duration(e.started - at))
		out = append(out, e)
	}
	return out
}

// log remembers the transaction that was built, and how it ended.
func (bd *builder) log(f failure) {
	p := bd.th.proc
	e := p.vm.log.next()
	*e = LogEntry{ID: bd.id, started: bd.started, Type: "call", FromPID: p.pid, FromTID: bd.th.tid, Context: p.ctx.name,
		Node: bd.nodeID, Handle: uint32(bd.tr.Target), Code: bd.tr.Code, Flags: bd.tr.Flags,
		DataSize: bd.tr.DataSize, OffsetsSize: bd.tr.OffsetsSize}
	switch {
	case bd.reply:
		e.Type = "reply"
	case bd.tr.Flags&uapi.TF_ONE_WAY != 0:
		e.Type = "async"
	}
	if bd.resolved {
		e.ToPID = bd.target.pid
		if bd.toThread != nil {
			e.ToTID = bd.toThread.tid
		}
	}
	if f != accepted {
		e.Error, e.Param = f.cmd, -int32(f.param)
		*p.vm.failedLog.next() = *e
	}
}

// Log returns the last transactions, or the last that failed, oldest first.
func (vm *VM) Log(failed bool) []LogEntry {
	vm.core.mu.Lock()
	defer vm.core.mu.Unlock()
	if failed {
		return vm.failedLog.list()
	}
	return vm.log.list()
}
