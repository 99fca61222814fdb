// SPDX-License-Identifier: Apache-2.0

package netlink

import "fmt"

// Mode is a way by which reports leave this process.
type Mode string

// The modes, best first.
const (
	// ModeGenuine multicasts on the kernel's own binder family and group.
	ModeGenuine Mode = "a"
	// ModeFallback multicasts on group 18 of generic netlink.
	ModeFallback Mode = "a'"
	// ModeUserSock multicasts on NETLINK_USERSOCK. Anyone may send there.
	ModeUserSock Mode = "b"
	// ModeUnix sends over a unix socket only.
	ModeUnix Mode = "c"
	// ModeNone sends nothing: no netlink and no unix socket.
	ModeNone Mode = "none"
)

// Describe names the mode in words.
func (m Mode) Describe() string {
	switch m {
	case ModeGenuine:
		return "the kernel's binder netlink group"
	case ModeFallback:
		return fmt.Sprintf("generic netlink group %d", FallbackGroup)
	case ModeUserSock:
		return fmt.Sprintf("NETLINK_USERSOCK group %d", FallbackGroup)
	case ModeUnix:
		return "unix socket only"
	case ModeNone:
		return "nowhere"
	}
	return string(m)
}

// Want is what the user asked of netlink.
type Want int

const (
	// WantAuto takes the best of modes a and a', or none without privilege.
	WantAuto Want = iota
	// WantUserSock takes mode b.
	WantUserSock
	// WantNoNetlink leaves netlink alone: mode c only.
	WantNoNetlink
)

// ParseWant is the Want that a command line's word stands for.
func ParseWant(s string) (Want, error) {
	switch s {
	case "", "auto":
		return WantAuto, nil
	case "usersock":
		return WantUserSock, nil
	case "off":
		return WantNoNetlink, nil
	}
	return 0, fmt.Errorf("netlink mode %q: use auto, usersock or off", s)
}

// Family is what the kernel says of the binder family.
type Family struct {
	ID    uint16 // message type
	Group uint32 // id of its group "report"; 0 if it has none
}

// families is what emitter and listener need to know of generic netlink.
type families struct {
	binder        *Family // nil: the kernel has none
	fallbackOwner string  // family that owns group 18, or ""
}

// route is one way to netlink: the choice, and why.
type route struct {
	mode  Mode
	group uint32
	typ   uint16
	why   string
}

// choose picks among a and a'. plainBlocked is why mode a may not carry plain
// context names here, or "". The result has mode ModeNone when no group is free.
func choose(f families, plainBlocked string) route {
	typ, why := uint16(FallbackType), "this kernel has no binder netlink family"
	if b := f.binder; b != nil {
		typ = b.ID
		switch {
		case b.Group == 0:
			why = fmt.Sprintf("the binder family here has no group %q", GroupName)
		case b.Group > maxMaskGroup:
			why = fmt.Sprintf("the binder family's group id is %d, and only 1 to %d can be sent to", b.Group, maxMaskGroup)
		case plainBlocked != "":
			why = plainBlocked
		default:
			return route{ModeGenuine, b.Group, typ, "this kernel has the binder netlink family"}
		}
	}
	if f.fallbackOwner != "" {
		why += fmt.Sprintf(", and group %d belongs to %s", FallbackGroup, f.fallbackOwner)
		return route{mode: ModeNone, why: why}
	}
	return route{ModeFallback, FallbackGroup, typ, why}
}
