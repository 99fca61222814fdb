// SPDX-License-Identifier: Apache-2.0

// Package demo is `virtbinder demo`: the whole of the project at work, in six
// steps, each of them checked by what really happened.
//
//	1 images     what a guest boots is there
//	2 host       on this machine, or in the nested lab (package lab), and why
//	3 boot       our VMM boots the guest; binder devices appear; no stock driver
//	4 android    AOSP's programs and libgbinder's run on them, unmodified
//	5 failures   an obituary, BR_DEAD_REPLY, BR_FAILED_REPLY; the last two seen by
//	             `virtbinder monitor`, run beforehand as an ordinary user
//	6 shutdown   the guest powers off; all that was reported is accounted for
//
// # Two processes
//
// Where this machine cannot run guests, the outer process does step 1 and starts
// itself inside the lab, which does all the steps there; the lab gives back its
// output and exit code. Either way the inner process starts `virtbinder monitor`
// and `virtbinder boot` as any user would, as processes of their own, and talks to
// the guest's agent only.
//
// # What is kept
//
// In the output directory: guest-console.log, boot.log, monitor.jsonl, monitor.log,
// guest-commands.log (each command run in the guest with its output), result.json
// (every check; see Result) and exit-code.
package demo
