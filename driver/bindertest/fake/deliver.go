// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"golang.org/x/sys/unix"

	"virtbinder/driver"
	"virtbinder/driver/uapi"
)

// delivery is the answer to a WRITE_READ in its reader's context, as
// guest/module/deliver.c: files are reserved and their numbers written, the reader
// gets its bytes, and only then do the files appear.
type delivery struct {
	th   *thread
	b    *binder
	resp *driver.Response

	fds   []int
	files []*file
	array []int // those to remember for the buffer
}

// settle does what does not depend on a delivery, and drops what does.
func (d *delivery) settle() {
	k := d.th.p.k
	for _, f := range d.resp.Fix {
		if f.Kind == driver.FixFree {
			d.freed(f.Off)
		} else {
			k.putToken(f.Token)
		}
	}
	d.setNice()
}

// freed closes the array descriptors of a buffer.
func (d *delivery) freed(off uint64) {
	fds := d.b.fdas[off]
	delete(d.b.fdas, off)
	for _, n := range fds {
		d.th.p.closeFD(n)
	}
}

// setNice is the binder driver's rule: to what is asked for if the thread may, else
// to what its limit allows.
func (d *delivery) setNice() {
	n := int(d.resp.Nice)
	if d.resp.Nice == driver.NoNice {
		return
	}
	const highest = 19
	if limit := d.th.p.rlimitNice; d.th.p.euid != 0 && 20-n > limit {
		n = 20 - limit
	}
	if n <= highest {
		d.th.nice = n
	}
}

// deliver hands the BR commands to put. nothing says that the only thing in them
// had to be dropped.
func (d *delivery) deliver(put func([]byte) unix.Errno) (n int, nothing bool, errno unix.Errno) {
	failed := d.reserve()
	d.setNice()
	br := d.resp.BR
	if failed != 0 {
		d.undo()
		br, nothing = d.strip(br)
	} else {
		d.identify(br)
	}
	if errno := put(br); errno != 0 {
		if failed == 0 {
			d.undo()
		}
		return 0, false, errno
	}
	for i, f := range d.files {
		d.th.p.install(d.fds[i], f, true)
	}
	if len(d.array) > 0 {
		d.b.fdas[d.resp.Val] = d.array
	}
	return len(br), nothing, 0
}

// reserve takes every file and reserves numbers up to the first failure.
func (d *delivery) reserve() (failed unix.Errno) {
	p := d.th.p
	for _, f := range d.resp.Fix {
		switch f.Kind {
		case driver.FixPut:
			p.k.putToken(f.Token)
			continue
		case driver.FixFree:
			d.freed(f.Off)
			continue
		}
		d.files = append(d.files, p.k.takeToken(f.Token))
		if failed != 0 {
			continue
		}
		n, errno := p.reserve()
		if errno != 0 {
			failed = errno
			continue
		}
		d.fds = append(d.fds, n)
		le.PutUint32(p.k.transport.window()[f.Off:], uint32(n))
		if f.Kind == driver.FixFDA {
			d.array = append(d.array, n)
		}
	}
	return failed
}

// undo gives everything back, and tells the host.
func (d *delivery) undo() {
	p := d.th.p
	for _, n := range d.fds {
		delete(p.fds, n)
	}
	for _, f := range d.files {
		f.put()
	}
	d.fds, d.files, d.array = nil, nil, nil
	if d.resp.Delivery != 0 {
		p.k.transport.undo(d.b.id, d.th.tid, d.resp.Delivery)
	}
}

// strip takes a failed delivery out: a reply becomes BR_FAILED_REPLY, a call is as
// if it had never come.
func (d *delivery) strip(br []byte) (rest []byte, nothing bool) {
	pos := d.resp.TxnPos
	if pos == driver.NoPos {
		return br, false
	}
	code := le.Uint32(br[pos:])
	br = br[:pos]
	switch {
	case code == uapi.BR_REPLY:
		return le.AppendUint32(br, uapi.BR_FAILED_REPLY), false
	case len(br) == 0 || len(br) == 4 && le.Uint32(br) == uapi.BR_NOOP:
		return nil, true
	}
	return br, false
}

// identify fills in who the sender is, as the reader's namespaces have it.
func (d *delivery) identify(br []byte) {
	pos := d.resp.TxnPos
	if pos == driver.NoPos {
		return
	}
	const pidAt, uidAt = 4 + 24, 4 + 28 // after the code, in binder_transaction_data
	if s := d.th.p.k.binders[d.resp.SenderProc]; s != nil {
		le.PutUint32(br[pos+pidAt:], d.th.p.sees(s.owner))
	}
	le.PutUint32(br[pos+uidAt:], d.th.p.seesUID(d.resp.SenderEUID))
}
