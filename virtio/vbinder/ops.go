// SPDX-License-Identifier: Apache-2.0

package vbinder

import (
	"errors"

	"golang.org/x/sys/unix"

	"virtbinder/driver"
	"virtbinder/driver/uapi"
	"virtbinder/virtio"
	"virtbinder/virtio/vbinder/wire"
)

// on says which queues take an operation.
type on uint8

const (
	onRequest on = 1 << iota
	onControl
	onDeferred
)

// op serves one operation. It returns true when it has handed the request to the
// core, which answers it; else the request is answered at once, with the error if
// there is one.
type op struct {
	serve func(*runner, *request) (taken bool, err error)
	on    on
}

// ops is indexed by operation.
var ops = [...]op{
	wire.OpOpen:           {(*runner).open, onRequest},
	wire.OpMmap:           {(*runner).mmap, onRequest},
	wire.OpWriteRead:      {(*runner).writeRead, onRequest | onDeferred},
	wire.OpIoctl:          {(*runner).ioctl, onRequest | onControl},
	wire.OpPoll:           {(*runner).poll, onRequest},
	wire.OpFetchFix:       {(*runner).fetchFix, onRequest},
	wire.OpLabel:          {(*runner).label, onRequest},
	wire.OpContext:        {(*runner).context, onRequest},
	wire.OpLog:            {(*runner).readLog, onRequest},
	wire.OpCancel:         {(*runner).cancel, onControl},
	wire.OpRelease:        {(*runner).release, onControl},
	wire.OpFlush:          {(*runner).flush, onControl},
	wire.OpUnmap:          {(*runner).unmap, onControl},
	wire.OpDeliveryFailed: {(*runner).deliveryFailed, onControl},
	wire.OpPing:           {(*runner).ping, onRequest | onControl},
	wire.OpContextEnd:     {(*runner).contextEnd, onControl},
	wire.OpLogClose:       {(*runner).closeLog, onControl},
}

// serve runs one request that was just taken off the ring.
func (run *runner) serve(r *request) {
	run.serving = r
	taken, err := run.dispatch(r)
	if !taken {
		if err != nil {
			run.refuse(r, err)
		}
		run.queue.dev.Complete(&run.exec, &r.core)
	} else if run.serving == r {
		run.queue.dev.stats.parked.Add(1)
	}
	run.serving = nil
}

func (run *runner) dispatch(r *request) (taken bool, err error) {
	r.clear()
	if err := r.load(); err != nil {
		return false, err
	}
	n := r.head.Op
	if uint64(n) >= uint64(len(ops)) || ops[n].on&r.queue.kind == 0 {
		return false, &wire.Error{Errno: unix.EPROTO, Field: "vbinder_req.op", Value: uint64(n), Reason: "not an operation of this queue"}
	}
	if err := r.room(0, 0, 0); err != nil {
		return false, err
	}
	r.address()
	return ops[n].serve(run, r)
}

// refuse turns an error into an answer.
func (run *runner) refuse(r *request, err error) {
	d, a := run.queue.dev, run.queue.act
	errno := unix.EINVAL
	errors.As(err, &errno)
	r.core.Resp.Status = errno
	if errors.Is(err, virtio.ErrReset) {
		return
	}
	var bad *wire.Error
	if !errors.As(err, &bad) && errno == unix.EINVAL {
		r.core.Resp.Status = unix.EFAULT // the chain itself could not be read
	}
	d.stats.bad.Add(1)
	if a.warned.CompareAndSwap(false, true) {
		d.log.Warn("the guest driver sent a bad request; later ones are only counted", "op", r.head.Op, "error", err)
	}
}

// answer sets the status; a process that is gone is said to be.
func (r *request) answer(errno unix.Errno) {
	r.core.Resp.Status = errno
	if errno == unix.ENODEV {
		r.core.Resp.Flags |= driver.RespGone
	}
}

// answerNew tells the id of what was made, or the errno within err.
func (r *request) answerNew(id uint64, err error) {
	r.core.Resp.Val = id
	if err != nil {
		errno := unix.ENODEV
		errors.As(err, &errno)
		r.core.Resp.Status = errno
	}
}

func (run *runner) open(r *request) (bool, error) {
	args, err := wire.ParseOpen(r.ctl)
	if err != nil {
		return false, err
	}
	id, err := run.queue.dev.VM().Open(&run.exec, args)
	r.answerNew(uint64(id), err)
	return false, nil
}

func (run *runner) context(r *request) (bool, error) {
	name, err := wire.ParseContext(r.ctl)
	if err != nil {
		return false, err
	}
	id, err := run.queue.dev.VM().NewContext(name)
	r.answerNew(uint64(id), err)
	return false, nil
}

func (run *runner) contextEnd(r *request) (bool, error) {
	id, err := wire.ParseContextEnd(r.ctl)
	if err != nil {
		return false, err
	}
	run.queue.dev.VM().EndContext(id)
	return false, nil
}

func (run *runner) mmap(r *request) (bool, error) {
	addr, length, err := wire.ParseMmap(r.ctl)
	if err != nil {
		return false, err
	}
	off, errno := run.queue.dev.VM().Mmap(&run.exec, r.head.Proc, addr, length)
	r.core.Resp.Val = off
	r.answer(errno)
	return false, nil
}

func (run *runner) writeRead(r *request) (bool, error) {
	if err := r.wr.Parse(r.ctl, uint64(r.chain.Readable()-len(r.ctl)), &r.core); err != nil {
		return false, err
	}
	if err := r.room(r.wr.FixCap, r.core.ReportCap, r.core.ReadSize); err != nil {
		return false, err
	}
	if r.queue.kind == onDeferred && (r.core.ReadSize > 0 || len(r.core.Gather) > 0) {
		return false, &wire.Error{Errno: unix.EPROTO, Field: "vbinder_wr.read_size", Value: uint64(r.core.ReadSize), Reason: "a read or a transaction is not deferred: somebody waits for it"}
	}
	d := run.queue.dev
	d.dropFixes(r.thread()) // of an answer that was never fetched to its end
	if r.core.NoPark {
		d.stats.noPark.Add(1)
	}
	d.VM().WriteRead(&run.exec, &r.core)
	return true, nil
}

func (run *runner) ioctl(r *request) (bool, error) {
	cmd, err := wire.ParseIoctl(r.ctl, &r.core, &r.arg)
	if err != nil {
		return false, err
	}
	if err := r.room(0, 0, wire.LenIoctlArg); err != nil {
		return false, err
	}
	if r.queue.kind == onControl && cmd != uapi.BINDER_THREAD_EXIT {
		return false, &wire.Error{Errno: unix.EPROTO, Field: "vbinder_ioctl.cmd", Value: uint64(cmd), Reason: "not an ioctl of the control queue: it might wait"}
	}
	run.queue.dev.VM().Ioctl(&run.exec, &r.core, cmd, &r.arg)
	return true, nil
}

func (run *runner) poll(r *request) (bool, error) {
	if err := wire.ParseEmpty(r.ctl); err != nil {
		return false, err
	}
	readable, errno := run.queue.dev.VM().Poll(&run.exec, r.head.Proc, r.head.TID)
	if readable {
		r.core.Resp.Val = 1
	}
	r.answer(errno)
	return false, nil
}

func (run *runner) fetchFix(r *request) (bool, error) {
	fixCap, err := wire.ParseFetch(r.ctl)
	if err == nil {
		err = r.room(fixCap, 0, 0)
	}
	if err != nil {
		return false, err
	}
	p := &r.core.Resp
	fixes, more, lost := run.queue.dev.takeFixes(r.thread(), int(fixCap))
	p.Fix = append(p.Fix, fixes...)
	if more {
		p.Flags |= driver.RespMoreFix
	}
	if lost {
		r.answer(unix.ENOMEM)
	}
	return false, nil
}

func (run *runner) label(r *request) (bool, error) {
	label, err := wire.ParseLabel(r.ctl)
	if err != nil {
		return false, err
	}
	r.answerNew(0, run.queue.dev.VM().Relabel(&run.exec, r.head.Proc, label))
	return false, nil
}

func (run *runner) cancel(r *request) (bool, error) {
	if err := wire.ParseEmpty(r.ctl); err != nil {
		return false, err
	}
	run.queue.dev.VM().Cancel(&run.exec, r.head.Proc, r.head.TID, r.head.Seq)
	return false, nil
}

func (run *runner) release(r *request) (bool, error) {
	if err := wire.ParseEmpty(r.ctl); err != nil {
		return false, err
	}
	run.queue.dev.VM().Release(&run.exec, r.head.Proc)
	run.queue.dev.dropProcFixes(r.head.Proc)
	return false, nil
}

func (run *runner) flush(r *request) (bool, error) {
	if err := wire.ParseEmpty(r.ctl); err != nil {
		return false, err
	}
	run.queue.dev.VM().Flush(&run.exec, r.head.Proc)
	return false, nil
}

func (run *runner) unmap(r *request) (bool, error) {
	if err := wire.ParseEmpty(r.ctl); err != nil {
		return false, err
	}
	run.queue.dev.VM().Unmap(&run.exec, r.head.Proc)
	return false, nil
}

func (run *runner) deliveryFailed(r *request) (bool, error) {
	u, err := wire.ParseUndo(r.ctl)
	if err != nil {
		return false, err
	}
	d := run.queue.dev
	d.log.Debug("delivery failed in the guest", "proc", r.head.Proc, "tid", r.head.TID, "why", u.Why, "error", u.Err)
	d.dropFixes(r.thread())
	d.VM().Undo(&run.exec, r.head.Proc, r.head.TID, u.Delivery)
	return false, nil
}

func (run *runner) ping(r *request) (bool, error) { return false, wire.ParseEmpty(r.ctl) }
