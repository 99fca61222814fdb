// SPDX-License-Identifier: Apache-2.0

// Package bindertest is the list of binder scenarios. Each pins one rule of the
// interface, runs on any System, and leaves a transcript: what was done, and all
// that could be observed. The transcripts of the kernel's own driver, recorded by
// the oracle in testdata/stock-RELEASE, are the measure of all other Systems.
//
// # How to write a scenario
//
// A scenario is a row of its section's list: a name (section/rule), the rule in one
// sentence, the Features it needs, and a function of some ten lines.
//
//	{"transaction/unknown-handle", "a handle that the caller does not hold: BR_FAILED_REPLY, -EINVAL", nil, func(t *T) {
//		b := t.proc("b")       // a process with the device open, mapped, past its first ioctl
//		b.read(call(99, 1))    // BC_TRANSACTION to handle 99 with code 1, then a read
//		b.extendedError()
//	}},
//
// Nothing is asserted: the transcript says what happened, and the golden one what
// should. So do only what shows the rule, and show it wholly: read what the other
// side gets, ask for the extended error, free and look again.
//
//   - Processes are "a", "b", ... and their leader is used where no thread is named
//     (b.read); b.newThread() is one more, b.fresh(t) one whose first ioctl is still
//     to come. Options of proc: uid, nice, context, mapped, unmapped, bare, nonblock.
//   - Each method makes one call, lets everything come to rest, and prints what it
//     and others came to; a call that waits is "parked". Order is what the scenario
//     says: there is no race to be had. A parked thread takes no other call.
//   - write runs commands, read runs them and reads. Commands are values: call,
//     oneway, reply, free, acquire, requestDeath, ... (command.go); the parts of a
//     call are data (string), objects (object.go), flags, extra, offsets, and with
//     for a last change to the structure.
//   - b.got is what b's last read brought: b.got.Buffer, b.got.handle(0), b.got.fd(0).
//   - p.suspend, p.exec, and b.hold, which has the driver wait for memory of b's in the
//     middle of a call until letGo, need a real kernel: name the Feature.
//   - Addresses are real and the same everywhere: objects may have any ptr and cookie,
//     sent memory is laid out from Arena on, own is memory that nothing else uses,
//     the first mapping is at MapAddr, Unmapped is never readable.
//   - Descriptor numbers, pids, tids, and ids of extended errors never show: they are
//     told as what they name.
//
// go test ./driver/bindertest -run TestScenarios/transaction -v prints transcripts.
// Where the core does not do what drivers/android/binder.c does, the core is wrong.
package bindertest
