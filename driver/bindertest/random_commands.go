// SPDX-License-Identifier: Apache-2.0

package bindertest

import (
	"fmt"
	"slices"
	"strings"

	"virtbinder/driver/uapi"
)

// line is a command and how it is written.
type line struct {
	cmd
	text        string
	transaction bool
}

// source makes a line of a command that is no transaction.
func source(c cmd, format string, args ...any) line {
	return line{cmd: c, text: fmt.Sprintf(format, args...)}
}

// sending makes a line of BC_TRANSACTION or BC_REPLY.
func sending(c cmd, format string, args ...any) line {
	return line{cmd: c, text: fmt.Sprintf(format, args...), transaction: true}
}

// commands makes one BINDER_WRITE_READ of a few commands that fit what the thread is
// in the middle of, mostly. At most one is a transaction, and that comes first: our
// guest driver may learn from a transaction that it took it for another's, and sends it
// and the rest once more. What the commands before it have woken runs between, as it may
// with the stock driver where there is another processor; here that never does.
func (r *runner) commands(c choice) {
	var lines []line
	n := 1 + r.rng.IntN(maxCommands)
	if c.th.calling > 0 && r.chance(70) {
		n = 0 // it waits for its reply
	}
	for i := range n {
		l := r.command(c, len(lines) > 0 && lines[0].transaction)
		switch {
		case l.cmd == nil || r.step.Drop&(1<<i) != 0:
		case l.transaction:
			lines = slices.Insert(lines, 0, l)
		default:
			lines = append(lines, l)
		}
	}
	var cmds []cmd
	var text []string
	for _, l := range lines {
		cmds, text = append(cmds, l.cmd), append(text, l.text)
	}
	if r.chance(70) || len(cmds) == 0 {
		r.say("%s.read(%s)", c.th.ref, strings.Join(text, ", "))
		c.th.read(cmds...)
	} else {
		r.say("%s.write(%s)", c.th.ref, strings.Join(text, ", "))
		c.th.write(cmds...)
	}
}

// command chooses one; an empty line where there is nothing sensible. sent says that
// it can be no transaction any more.
func (r *runner) command(c choice, sent bool) line {
	switch {
	case c.th.serving > 0 && !sent && r.chance(45):
		return r.reply(c)
	case len(c.acks) > 0 && r.chance(50):
		return r.acknowledge(c)
	case len(c.dead)+len(c.frozen) > 0 && r.chance(50):
		return r.done(c)
	case len(c.buffers) > 0 && r.chance(30):
		return r.freeBuffer(c)
	}
	switch k := r.rng.IntN(100); {
	case sent && (k < 50 || k == 91):
		return line{}
	case k < 35:
		return r.call(c)
	case k < 50:
		return r.oneway(c)
	case k < 68:
		return r.refs(c)
	case k < 76:
		return r.death(c)
	case k < 82 && r.t.sys.Has(FreezeNotice):
		return r.freezeNotice(c)
	case k < 87:
		return source(enter, "enter")
	case k < 90:
		return source(register, "register")
	case k < 91:
		return source(leave, "leave")
	case k < 92:
		return r.reply(c) // not asked for
	case k < 93:
		addr := uint64(MapAddr + 8*r.rng.IntN(64))
		return source(free(addr), "free(%#x)", addr)
	case k < 94:
		ptr := r.ptr()
		return source(acquireDone(ptr, ptr+8), "acquireDone(%#x, %#x)", ptr, ptr+8)
	default:
		return line{}
	}
}

// handle is one that the process knows, mostly.
func (r *runner) handle(c choice) uint32 {
	if r.chance(5) {
		return uint32(r.rng.IntN(8))
	}
	known := c.handles
	if c.actor != r.procs[0] && (len(known) == 0 || r.chance(30)) {
		return 0
	}
	if len(known) == 0 {
		return 1
	}
	return pick(r, known)
}

// ptr is the address of one of the nodes that a process has.
func (r *runner) ptr() uint64 { return 0x1000 * uint64(1+r.rng.IntN(3)) }

func (r *runner) call(c choice) line {
	h, code := r.handle(c), uint32(r.rng.IntN(5))
	parts, text := r.parts(c)
	f := flags(pick(r, []uint32{0, uapi.TF_ACCEPT_FDS, uapi.TF_ACCEPT_FDS, uapi.TF_CLEAR_BUF, uapi.TF_ROOT_OBJECT}))
	c.th.calls()
	return sending(call(h, code, append(parts, f)...), "call(%d, %d%s, flags(%#x))", h, code, text, uint32(f))
}

func (r *runner) oneway(c choice) line {
	h, code := r.handle(c), uint32(r.rng.IntN(3))
	parts, text := r.parts(c)
	f := flags(pick(r, []uint32{0, 0, uapi.TF_ACCEPT_FDS, uapi.TF_UPDATE_TXN, uapi.TF_CLEAR_BUF}))
	return sending(oneway(h, code, append(parts, f)...), "oneway(%d, %d%s, flags(%#x))", h, code, text, uint32(f))
}

func (r *runner) reply(c choice) line {
	parts, text := r.parts(c)
	c.th.serving = max(0, c.th.serving-1)
	return sending(reply(parts...), "reply(%s)", strings.TrimPrefix(text, ", "))
}

func (r *runner) acknowledge(c choice) line {
	i := r.rng.IntN(len(c.acks))
	a := c.acks[i]
	c.acks = slices.Delete(c.acks, i, i+1)
	if a.code == uapi.BR_INCREFS {
		return source(increfsDone(a.ptr, a.cookie), "increfsDone(%#x, %#x)", a.ptr, a.cookie)
	}
	return source(acquireDone(a.ptr, a.cookie), "acquireDone(%#x, %#x)", a.ptr, a.cookie)
}

// done acknowledges a notification.
func (r *runner) done(c choice) line {
	if len(c.dead) > 0 && (len(c.frozen) == 0 || r.chance(50)) {
		v := c.dead[0]
		c.dead = c.dead[1:]
		return source(deadBinderDone(v), "deadBinderDone(%#x)", v)
	}
	v := c.frozen[0]
	c.frozen = c.frozen[1:]
	return source(freezeDone(v), "freezeDone(%#x)", v)
}

func (r *runner) freeBuffer(c choice) line {
	i := r.rng.IntN(len(c.buffers))
	addr := c.buffers[i]
	c.buffers = slices.Delete(c.buffers, i, i+1)
	return source(free(addr), "free(%#x)", addr)
}

func (r *runner) refs(c choice) line {
	h := r.handle(c)
	switch r.rng.IntN(6) {
	case 0:
		return source(increfs(h), "increfs(%d)", h)
	case 1:
		return source(decrefs(h), "decrefs(%d)", h)
	case 2:
		return source(release(h), "release(%d)", h)
	default:
		return source(acquire(h), "acquire(%d)", h)
	}
}

func (r *runner) death(c choice) line {
	if len(c.deaths) > 0 && r.chance(40) {
		d := pick(r, c.deaths)
		return source(clearDeath(d.handle, d.value), "clearDeath(%d, %#x)", d.handle, d.value)
	}
	h := r.handle(c)
	v := 0xd0 + uint64(h)
	c.deaths = append(c.deaths, cookie{h, v})
	return source(requestDeath(h, v), "requestDeath(%d, %#x)", h, v)
}

func (r *runner) freezeNotice(c choice) line {
	if len(c.freezes) > 0 && r.chance(40) {
		d := pick(r, c.freezes)
		return source(clearFreeze(d.handle, d.value), "clearFreeze(%d, %#x)", d.handle, d.value)
	}
	h := r.handle(c)
	v := 0xf0 + uint64(h)
	c.freezes = append(c.freezes, cookie{h, v})
	return source(requestFreeze(h, v), "requestFreeze(%d, %#x)", h, v)
}

// parts is the content of a transaction: often nothing, often an object or two.
func (r *runner) parts(c choice) (parts []any, text string) {
	add := func(part any, format string, args ...any) {
		parts = append(parts, part)
		text += ", " + fmt.Sprintf(format, args...)
	}
	switch k := r.rng.IntN(10); {
	case k < 3:
		s := strings.Repeat("x", 1+r.rng.IntN(40))
		add(s, "%q", s)
	case k == 3:
		n := r.rng.IntN(5000)
		add(strings.Repeat("y", n), "strings.Repeat(\"y\", %d)", n)
	}
	for range r.rng.IntN(3) {
		o, s := r.object(c)
		add(o, "%s", s)
	}
	if r.chance(8) {
		r.gathered(c, add)
	}
	return parts, text
}

func (r *runner) object(c choice) (object, string) {
	source := func(o object, format string, args ...any) (object, string) { return o, fmt.Sprintf(format, args...) }
	p, h := r.ptr(), r.handle(c)
	switch k := r.rng.IntN(20); {
	case k < 7:
		if r.chance(30) {
			return source(binder(p, p+8, uapi.FLAT_BINDER_FLAG_ACCEPTS_FDS), "binder(%#x, %#x, uapi.FLAT_BINDER_FLAG_ACCEPTS_FDS)", p, p+8)
		}
		return source(binder(p, p+8), "binder(%#x, %#x)", p, p+8)
	case k < 9:
		return source(weakBinder(p, p+8), "weakBinder(%#x, %#x)", p, p+8)
	case k == 9 && r.chance(20):
		return source(binder(p, p+16), "binder(%#x, %#x)", p, p+16) // a wrong cookie, mostly
	case k < 14:
		return source(handle(h), "handle(%d)", h)
	case k < 16:
		return source(weakHandle(h), "weakHandle(%d)", h)
	case k < 19 && len(c.fds) > 0:
		f := pick(r, c.fds)
		return source(descriptor(f), "descriptor(%s)", f.name)
	case k == 19 && r.chance(20):
		return source(descriptor(fd{333, "none"}), "descriptor(fd{333, \"none\"})")
	default:
		return source(handle(h), "handle(%d)", h)
	}
}

// gathered adds scatter-gather buffers: a string in a struct, or an array of
// descriptors.
func (r *runner) gathered(c choice, add func(part any, format string, args ...any)) {
	if len(c.fds) > 0 && r.chance(30) {
		f := pick(r, c.fds)
		n := uint32(f.n)
		add(ptr(words(n, n)), "ptr(words(%d, %d))", n, n)
		add(fdArray(2, 0, 0), "fdArray(2, 0, 0)")
		return
	}
	off := uint64(8 * r.rng.IntN(3)) // 16 does not fit
	add(ptr("0123456789abcdef"), "ptr(\"0123456789abcdef\")")
	add(ptr("child").in(0, off), "ptr(\"child\").in(0, %d)", off)
}
