// SPDX-License-Identifier: Apache-2.0

// Package oracle compares our driver with the kernel's own: it runs each scenario of
// driver/bindertest on both, in the same guest, and holds the transcripts against each
// other.
//
//	this machine ── lab ── its host: inside.go ── virtbinder boot ── the guest: guest.go ── puppets
//
// One program plays all three parts. Where guests run on this machine itself the lab
// is left out. The part in the guest prints a Line for whatever it begins and ends; so
// the host knows what was running when the guest died, boots it again and goes on with
// the next.
package oracle
