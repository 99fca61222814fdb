// SPDX-License-Identifier: Apache-2.0

package driver

import "golang.org/x/sys/unix"

// Request is one BINDER_WRITE_READ (or BINDER_FREEZE, the other call that may
// wait) and the room for its answer. The caller fills the first part, hands it to
// the core and gets it back through Env.Complete. Its slices are reused.
type Request struct {
	Proc ProcID
	TID  uint32
	Seq  uint32

	// The write half. Gather belongs to Stream's transactions, in order.
	Stream  []byte
	Gather  []Gather
	Objects []Object
	FDs     []FD
	Payload Payload

	// The read half.
	ReadSize  uint32 // bytes; 0: no read
	NonBlock  bool
	Continued bool // read_consumed was not 0: no leading BR_NOOP
	Fault     bool // the user's stream cannot be read past Stream
	Partial   bool // more of the stream comes: do not read yet
	NoPark    bool // the device has no room to keep this read

	Nice      int32  // the caller's nice value, then what the core makes of it
	EUID      uint32 // effective uid: a sender's as its transactions state it, an ioctl's caller's
	LSMError  int32  // of SET_CONTEXT_MGR
	ReportCap uint32 // reports of its failures that the answer has room for

	Resp Response

	vm      *VM
	niceSet bool
	served  served // see quiet.go
	// Data is the caller's.
	Data any
}

// Payload is the sender's memory as the request carries it.
type Payload interface {
	// ReadAt fills p from position pos. It may be called with no lock held only.
	ReadAt(p []byte, pos uint64) error
}

// Gather is what the guest driver read for one transaction of the stream.
type Gather struct {
	CmdPos       uint32 // position of its BC code in Stream
	OffsetsFault bool   // the offsets array could not be read
	DataPos      uint64 // data section in Payload
	DataLen      uint64 // how much of it could be read
	ObjFirst     uint32 // its objects in Request.Objects
	ObjCount     uint32
	Judged       bool   // the guest's LSM has a say: see lsm.go
	LSMProc      ProcID // process that its verdicts were decided against
	LSMError     int32  // on the transaction itself
}

// Object is one entry of an offsets array with the object it points to.
type Object struct {
	Offset   uint64
	Raw      [40]byte
	RawLen   uint32 // 0: unreadable, or outside the data
	FDFirst  uint32 // in Request.FDs
	FDCount  uint32
	LSMError int32  // on passing it on
	SegPos   uint64 // PTR: its buffer in Payload
	SegLen   uint64 // PTR: how much of it could be read
}

// FD is one descriptor of the sender: a token for the file that the guest driver
// holds, or why there is none.
type FD struct {
	Token uint32
	Err   unix.Errno
}

// Flags of a Response.
const (
	RespCancelled = 1 << iota
	RespGone
	RespWaiting
	RespMoreFix
	RespStopped
	RespRetry // gather anew from WriteConsumed on, judged against process Val
	RespSpawn // a continued read: BR_SPAWN_LOOPER stands where its buffer begins
	RespQuiet // see quiet.go
	RespPlain // see quiet.go
)

// NoPos says that a response carries no transaction.
const NoPos = ^uint32(0)

// NoNice says that the caller's nice value stays.
const NoNice = int32(0x7fffffff)

// Response is the answer to a Request.
type Response struct {
	Status        unix.Errno // 0 or what the ioctl returns
	Flags         uint32
	Val           uint64
	WriteConsumed uint64 // bytes of Stream executed
	BR            []byte
	Fix           []Fix
	TxnPos        uint32 // where BR_TRANSACTION* or BR_REPLY stands in BR
	SenderEUID    uint32
	SenderProc    ProcID
	Delivery      uint64
	Nice          int32
	Reports       []Report // failures of this request's stream
	ReportsLost   uint32   // those beyond ReportCap
}

// FixKind says what the guest driver does with a Fix.
type FixKind uint32

const (
	// FixFD: install Token, write its number at Off in the window.
	FixFD FixKind = 1
	// FixFDA: the same, and remember it for the buffer.
	FixFDA FixKind = 2
	// FixPut: drop Token.
	FixPut FixKind = 3
	// FixFree: the buffer at Off was freed; close its FDA descriptors.
	FixFree FixKind = 4
)

// Fix is one thing the guest driver does in the reader's context. Off is an offset
// in the VM's window, in bytes.
type Fix struct {
	Off   uint64
	Token uint32
	Kind  FixKind
}

func (r *Request) reset(vm *VM) {
	r.vm = vm
	r.niceSet = false
	r.served = served{}
	r.Resp.Clear()
}

// Clear makes p an empty success.
func (p *Response) Clear() {
	p.Status, p.Flags, p.Val, p.WriteConsumed = 0, 0, 0, 0
	p.BR, p.Fix, p.Reports, p.ReportsLost = p.BR[:0], p.Fix[:0], p.Reports[:0], 0
	p.TxnPos, p.SenderEUID, p.SenderProc, p.Delivery, p.Nice = NoPos, 0, 0, 0, NoNice
}

// returnFiles gives back the files that no executed command has taken.
func (r *Request) returnFiles() {
	for i := range r.FDs {
		if token := r.FDs[i].Token; token != 0 {
			r.Resp.Fix = append(r.Resp.Fix, Fix{Token: token, Kind: FixPut})
			r.FDs[i].Token = 0
		}
	}
}

// setNice notes what the caller's nice value becomes when the request completes.
func (r *Request) setNice(n int32) {
	r.Nice, r.niceSet = n, true
}

// finish fixes the status and hands r over for publishing.
func (x *Exec) finish(r *Request, status unix.Errno) {
	r.Resp.Status = status
	if r.niceSet {
		r.Resp.Nice = r.Nice
	}
	x.done = append(x.done, r)
}

// gone answers a request whose process or thread was released.
func (x *Exec) gone(r *Request) {
	r.Resp.Flags |= RespGone
	r.Resp.BR = r.Resp.BR[:0]
	x.finish(r, unix.ENODEV)
}
