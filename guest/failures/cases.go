// SPDX-License-Identifier: Apache-2.0

package main

import (
	"golang.org/x/sys/unix"

	"virtbinder/driver/uapi"
)

// acts are the cases in the order in which the kernel's capture has them. Those of
// one act share processes, and some build on what the one before left.
var acts = []struct {
	name string
	play func(*stage)
}{
	{"without-manager", withoutManager}, {"bad-calls", badCalls}, {"bad-stacks", badStacks}, {"bad-replies", badReplies},
	{"dead-owner", deadOwner}, {"target-lost", targetLost}, {"frozen", frozen}, {"floods", floods},
	{"suspect-fails", suspectFails}, {"files", files},
}

const kib = 1 << 10

func withoutManager(s *stage) {
	client := s.actor("client", s.binder, roomy)
	s.failing("sync_no_ctxmgr", 1, client, transact{Code: 0x1001, Flags: uapi.TF_ACCEPT_FDS, Size: 12})
	s.failing("oneway_no_ctxmgr", 1, client, transact{Code: 0x1002, Flags: uapi.TF_ONE_WAY, Size: 16})
	s.failing("invalid_handle", 1, client, transact{Handle: 1234, Code: 0x1003, Flags: uapi.TF_ACCEPT_FDS, Size: 20})
	s.failing("reply_empty_stack", 1, client, transact{Reply: true, Code: 0x1004, Size: 4})
	client.kill()
	hw := s.actor("client", s.hwbinder, roomy)
	s.failing("hwbinder_no_ctxmgr", 1, hw, transact{Code: '_'<<24 | 'P'<<16 | 'N'<<8 | 'G'})
	hw.kill()
	other := s.actorIn(unix.CLONE_NEWNET, "client_in_netns", s.binder, roomy)
	s.failing("netns_sender", 1, other, transact{Code: 0x1007, Size: 8})
	other.kill()
}

// object is a flat object or an fd object with v as its binder, handle or number.
func object(typ uint32, v uint64) []byte {
	o := make([]byte, uapi.SizeFlatBinderObject)
	le.PutUint32(o, typ)
	le.PutUint64(o[8:], v)
	return o
}

// with makes the call carry one object.
func (t transact) with(o []byte) transact {
	t.Data, t.Size, t.Offsets = o, uint64(len(o)), []uint64{0}
	return t
}

func badCalls(s *stage) {
	server := s.server("server", roomy, 0)
	s.failing("ctxmgr_self", 1, server, transact{Code: 0x1010, Size: 8})
	client := s.actor("client", s.binder, roomy)
	bad := func(name string, t transact) { s.failing(name, 1, client, t, server) }
	bad("sync_no_space", transact{Code: 0x1011, Flags: uapi.TF_ACCEPT_FDS, Size: 2 << 20})
	bad("bad_offsets_size", transact{Code: 0x1013, Size: 32, OffsetsSize: 12})
	bad("bad_object_type", transact{Code: 0x1014}.with(object(0x2a2a2a2a, 0)))
	bad("bad_data_ptr", transact{Code: 0x1015, Size: 64, BadData: true})
	bad("bad_handle_object", transact{Code: 0x1016}.with(object(uapi.BINDER_TYPE_HANDLE, 999)))
	bad("bad_fd_object", transact{Code: 0x1017, Flags: uapi.TF_ACCEPT_FDS}.with(object(uapi.BINDER_TYPE_FD, 9999)))
	bad("sg_unaligned_extra", transact{SG: true, Code: 0x1018, Size: 8, Extra: 3})
	bad("size_overflow", transact{Code: 0x1019, Size: 0xfffffffffffffff0})
	bad("oneway_bad_data_ptr", transact{Code: 0x101a, Flags: uapi.TF_ONE_WAY | uapi.TF_CLEAR_BUF | uapi.TF_UPDATE_TXN, Size: 16, BadData: true})
	client.kill()
	server.kill()
}

func badStacks(s *stage) {
	server := s.server("server", roomy, 0)
	client := s.actor("client", s.binder, roomy)
	client.send(transact{Code: 0x1020, Size: 8})
	s.failing("sync_bad_stack", 2, client, transact{Code: 0x1021, Size: 24}, server)
	s.failing("reply_bad_stack", 1, client, transact{Reply: true, Code: 0x1022, Size: 4}, server)
	served := server.serve()
	client.kill()
	s.done(Result{Case: "N_client_dies", Target: names([]back{served})}, client, server)
	s.failing("reply_dead_client", 1, server, transact{Reply: true, Code: 0x1023, Size: 28}, client)
	server.kill()
}

// answered plays a call of client's that server answers badly: the server reads
// that it was sent, the client what came of it.
func (s *stage) answered(name string, client, server *actor, reply transact) {
	client.send(transact{Code: 0x1030, Size: 8})
	served := server.serve()
	reply.Reply = true
	server.send(reply)
	r := Result{Case: name, Sender: names(server.read(1)), Extended: server.extended()}
	r.Target = names(append([]back{served}, client.read(2)...))
	s.done(r, client, server)
}

func badReplies(s *stage) {
	server := s.server("server", roomy, 0)
	small := s.actor("client_small_map", s.binder, 4*kib)
	s.answered("reply_no_space", small, server, transact{Size: 64 * kib})
	client := s.actor("client", s.binder, roomy)
	s.answered("reply_oneway_flag", client, server, transact{Code: 6, Flags: uapi.TF_ONE_WAY, Size: 16, BadData: true})
	unmapped := s.actor("client_nomap", s.binder, noMap)
	s.answered("reply_client_unmapped", unmapped, server, transact{Code: 7, Size: 8})
	for _, a := range []*actor{small, client, unmapped, server} {
		a.kill()
	}
}

func deadOwner(s *stage) {
	server := s.server("server", roomy, 0)
	client := s.actor("client", s.binder, roomy)
	client.send(transact{Code: 0x1040}.with(object(uapi.BINDER_TYPE_BINDER, 0x1000)))
	h := server.serve().Handle
	s.failing("nested_no_space", 1, server, transact{Handle: h, Code: 0x1041, Size: 4 << 20}, client)
	client.kill()
	s.done(Result{Case: "N_client_dies2"}, client, server)
	s.failing("reply_dead_client2", 1, server, transact{Reply: true, Code: 0x1043, Size: 4}, client)
	s.failing("sync_dead_node", 1, server, transact{Handle: h, Code: 0x1044, Size: 40}, client)
	server.kill()
}

func targetLost(s *stage) {
	server := s.server("server", roomy, 0)
	client := s.actor("client", s.binder, roomy)
	call := transact{Code: 0x1050, Size: 8}

	client.send(call)
	fault := server.try(step{Do: "glance", BadEnd: true}).Errno
	s.done(Result{Case: "N_target_read_efault", Sender: names(client.read(2)), Target: []string{fault.Error()}}, client, server)

	client.send(call)
	served := names([]back{server.serve()})
	server.must(step{Do: "ioctl", Ioctl: uapi.BINDER_THREAD_EXIT, Arg: make([]byte, 4)})
	s.done(Result{Case: "N_target_thread_exit", Sender: names(client.read(2)), Target: served}, client, server)

	server.must(step{Do: "send", Raw: le.AppendUint32(nil, uapi.BC_ENTER_LOOPER)}) // as a new thread
	client.send(call)
	served = names([]back{server.serve()})
	server.kill()
	s.done(Result{Case: "N_target_dies_delivered", Sender: names(client.read(2)), Target: served}, client, server)

	second := s.server("server", roomy, 0)
	client.send(call)
	second.kill()
	s.done(Result{Case: "N_target_dies_queued", Sender: names(client.read(2))}, client, second)

	if errno := client.try(step{Do: "send", Raw: le.AppendUint32(nil, 0x63ff)}).Errno; errno != unix.EINVAL {
		stop("an unknown command gave %v", errno)
	}
	s.done(Result{Case: "N_unknown_bc"}, client)
	client.kill()
}

func frozen(s *stage) {
	unmapped := s.server("server_nomap", noMap, 0)
	client := s.actor("client", s.binder, roomy)
	s.failing("sync_target_unmapped", 1, client, transact{Code: 0x1055, Size: 8}, unmapped)
	unmapped.kill()
	server := s.server("server", roomy, 0)
	client.freeze(server)
	s.failing("sync_frozen", 1, client, transact{Code: 0x1060, Size: 8}, server)
	s.failing("oneway_frozen", 1, client, transact{Code: 0x1061, Flags: uapi.TF_ONE_WAY, Size: 8}, server)
	client.kill()
	server.kill()
}

// firstSuspect is the 32 KiB oneway by which a sender becomes a suspect when nobody
// reads, noRoom the first that finds no space.
const (
	firstSuspect = 13
	noRoom       = 17
)

var large = transact{Code: 0x1070, Flags: uapi.TF_ONE_WAY, Size: 32 * kib}

// flood is what a flood of oneways does, up to its last.
func (s *stage) flood(name string, detection, frozen bool, last int) {
	server := s.server("server", roomy, 0)
	client := s.actor("client", s.binder, roomy)
	if detection {
		client.must(step{Do: "ioctl", Ioctl: uapi.BINDER_ENABLE_ONEWAY_SPAM_DETECTION, Arg: []byte{1, 0, 0, 0}})
	}
	if frozen {
		client.freeze(server)
	}
	for n := 1; n <= last; n++ {
		client.send(large)
		switch n {
		case firstSuspect - 1:
			s.done(Result{Case: name + "_before", Sender: names(client.read(n))}, client, server)
		case firstSuspect:
			s.done(Result{Case: name + "_txn13", Sender: names(client.read(1)), Extended: client.extended()}, client, server)
		case noRoom - 1:
			s.done(Result{Case: name + "_between", Sender: names(client.read(noRoom - 1 - firstSuspect))}, client, server)
		case noRoom:
			s.done(Result{Case: name + "_txn17", Sender: names(client.read(1)), Extended: client.extended()}, client, server)
		}
	}
	client.kill()
	server.kill()
}

func floods(s *stage) {
	s.flood("spam_enabled", true, false, noRoom)
	s.flood("spam_not_enabled", false, false, firstSuspect)
	s.flood("spam_and_frozen", true, true, noRoom)
}

// suspectFails is where virtbinder differs from the C driver on purpose: a suspect
// whose data is bad is reported as both.
func suspectFails(s *stage) {
	server := s.server("server", roomy, 0)
	client := s.actor("client", s.binder, roomy)
	for range firstSuspect - 1 {
		client.send(large)
	}
	before := names(client.read(firstSuspect - 1))
	bad := large
	bad.BadData = true
	client.send(bad)
	r := Result{Case: "suspect_fails", Sender: append(before, names(client.read(1))...), Extended: client.extended()}
	s.done(r, client, server)
	client.kill()
	server.kill()
}

func files(s *stage) {
	const acceptsFDs = uapi.FLAT_BINDER_FLAG_ACCEPTS_FDS
	server := s.server("server", roomy, acceptsFDs)
	owner := s.actor("owner", s.binder, roomy)
	server.must(step{Do: "limit"})
	call := transact{Code: 0x1080, Flags: uapi.TF_ACCEPT_FDS}.with(object(uapi.BINDER_TYPE_FD, 0))

	owner.send(call)
	server.try(step{Do: "glance"})
	s.done(Result{Case: "N_target_fd_fixup", Sender: names(owner.read(2))}, owner, server)

	call.Flags |= uapi.TF_ONE_WAY
	owner.send(call)
	server.try(step{Do: "glance"})
	s.done(Result{Case: "N_target_fd_fixup_oneway", Sender: names(owner.read(1))}, owner, server)
	owner.kill()
	server.kill()
}
