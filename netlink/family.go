// SPDX-License-Identifier: Apache-2.0

package netlink

// The interface, as Documentation/netlink/specs/binder.yaml fixes it: one
// family, one multicast group, one event.
const (
	// FamilyName and FamilyVersion name the generic netlink family.
	FamilyName    = "binder"
	FamilyVersion = 1
	// GroupName is the family's only multicast group.
	GroupName = "report"
	// CmdReport is the only command: one report of one failed transaction.
	CmdReport = 1
)

// Attributes of CmdReport, in the order in which the driver writes them. All
// but AttrContext (NUL-terminated string) and AttrIsReply (flag) are u32 in the
// machine's byte order.
const (
	AttrError    = 1  // the BR code that the issuer (for a reply: the caller) reads
	AttrContext  = 2  // binder context: binder, hwbinder, ...
	AttrFromPID  = 3  // process that issued the BC_TRANSACTION or BC_REPLY
	AttrFromTID  = 4  // its thread
	AttrToPID    = 5  // target process; omitted where there is none, never 0
	AttrToTID    = 6  // target thread; omitted where there is none, never 0
	AttrIsReply  = 7  // present for BC_REPLY and BC_REPLY_SG
	AttrFlags    = 8  // transaction flags, raw
	AttrCode     = 9  // transaction code, raw
	AttrDataSize = 10 // low 32 bits of the data size, without offsets and buffers
)

const (
	// FallbackGroup is the group of NETLINK_GENERIC that carries reports where
	// the kernel has no binder family (mode a'), and of NETLINK_USERSOCK in mode
	// b. The kernel reserves it for the pmcraid driver and never hands it out to
	// other families.
	FallbackGroup = 18
	// FallbackType is the message type on FallbackGroup when there is no family
	// whose id could be used: the largest id of generic netlink.
	FallbackType = 1023
	// maxMaskGroup is the largest group that connect(2) can name in its mask.
	maxMaskGroup = 32
)

// MaxContext is the longest context name, in bytes, that a message carries;
// longer ones are cut. binderfs allows 255; the rest is room for "@VM".
const MaxContext = 511
