// SPDX-License-Identifier: Apache-2.0

package driver

import (
	"encoding/binary"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"virtbinder/driver/uapi"
)

// listening is a world whose environment wants notices.
type listening struct {
	*world
	notices []Notice
}

func (l *listening) Notice(n Notice) { l.notices = append(l.notices, n) }

func newListening(t *testing.T) *listening {
	w := newWorld(t)
	l := &listening{world: w}
	w.vm.noticer = l
	return l
}

// told compares what was told since the last call.
func (l *listening) told(want ...Notice) {
	l.t.Helper()
	if diff := cmp.Diff(want, l.notices); diff != "" {
		l.t.Errorf("notices (-want +got):\n%s", diff)
	}
	l.notices = nil
}

// parcel is a call's data with an interface token.
func parcel(name string) []byte {
	b := append(make([]byte, 8), "TSYS"...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(name)))
	for _, u := range utf16.Encode([]rune(name + "\x00")) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}

// TestDetails: what a report's own channel says of why.
func TestDetails(t *testing.T) {
	w := newListening(t)
	w.open(1).manage()
	cli := w.open(2)

	data := parcel("android.os.IServiceManager")
	big := call(0, 1, 0, 2<<20, 0)
	cli.send(big, data, true)
	var arg [24]byte
	binary.LittleEndian.PutUint32(arg[0:], 1)
	binary.LittleEndian.PutUint32(arg[4:], 1)
	if errno, _ := cli.ioctl(uapi.BINDER_FREEZE, arg); errno != 0 {
		t.Fatal(errno)
	}
	for range 3 {
		cli.send(call(0, 2, uapi.TF_ONE_WAY, 0, 0), nil, true)
	}
	cli.send(call(99, 2, 0, 0, 0), nil, true)
	half := uint64(window / 2)
	want := []Detail{
		{Errno: unix.ENOSPC, Free: window, Size: window, Interface: "android.os.IServiceManager"},
		{Pending: 1, Free: half - 8, Size: half}, {Pending: 2, Free: half - 16, Size: half}, {Pending: 3, Free: half - 24, Size: half},
		{Errno: unix.EINVAL},
	}
	var got []Detail
	for _, r := range w.reports {
		got = append(got, r.Detail)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("details (-want +got):\n%s", diff)
	}
	w.told()
}

// TestNoticesOfLoss: calls and oneways that go with their target are told, and no
// report is made of them.
func TestNoticesOfLoss(t *testing.T) {
	w := newListening(t)
	mgr, held, queued, flood := w.open(1).manage(), w.open(2), w.open(3), w.open(4)
	srv := mgr.send(enter, nil, true)
	held.send(call(0, 11, 0, 0, 0), nil, true)
	w.want(srv, "TRANSACTION")
	queued.send(call(0, 12, 0, 4, 0), make([]byte, 4), true)
	for range 5 {
		flood.send(call(0, 13, uapi.TF_ONE_WAY, 0, 0), nil, false)
	}
	w.vm.Release(w.x, mgr.id)
	w.told(
		Notice{Kind: NoticeCallLost, Context: "binder", FromPID: 2, FromTID: 2, ToPID: 1, Code: 11},
		Notice{Kind: NoticeCallLost, Context: "binder", FromPID: 3, FromTID: 3, ToPID: 1, Code: 12, DataSize: 4},
		Notice{Kind: NoticeOnewaysLost, Context: "binder", ToPID: 1, Flags: uapi.TF_ONE_WAY, Count: 5},
	)
	if len(w.reports) != 0 {
		t.Errorf("reports %+v", w.reports)
	}
}

func TestNoticeOfFailedDelivery(t *testing.T) {
	w := newListening(t)
	mgr, cli := w.open(1).manage(), w.open(2)
	srv := mgr.send(enter, nil, true)
	cli.send(call(0, 7, uapi.TF_ACCEPT_FDS, 0, 0), nil, true)
	w.vm.Undo(w.x, mgr.id, mgr.pid, srv.Resp.Delivery)
	w.vm.Undo(w.x, mgr.id, mgr.pid, srv.Resp.Delivery)
	w.told(Notice{Kind: NoticeDeliveryFailed, Context: "binder", FromPID: 2, FromTID: 2, ToPID: 1, Flags: uapi.TF_ACCEPT_FDS, Code: 7})
	if len(w.reports) != 0 {
		t.Errorf("reports %+v", w.reports)
	}
}

// TestNoticeOfLowBuffer: told once, and again after there was room.
func TestNoticeOfLowBuffer(t *testing.T) {
	w := newListening(t)
	mgr, a, b := w.open(1).manage(), w.open(2), w.open(3)
	srv := mgr.send(enter, nil, true)
	size := 950 << 10
	a.send(call(0, 1, 0, size, 0), make([]byte, size), false)
	low := Notice{Kind: NoticeBufferLow, Context: "binder", ToPID: 1, Free: window - uint64(size), Size: window}
	w.told(low)
	b.send(call(0, 1, 0, 8, 0), make([]byte, 8), false)
	w.told()
	w.want(srv, "TRANSACTION")
	mgr.send(bc(uapi.BC_FREE_BUFFER, received(srv).Buffer), nil, false)
	c, d := w.open(4), w.open(5)
	c.send(call(0, 1, 0, 8, 0), make([]byte, 8), false)
	d.send(call(0, 1, 0, size, 0), make([]byte, size), false)
	low.Free -= 16
	w.told(low)
}

func TestParseToken(t *testing.T) {
	utf := parcel("android.app.IActivityManager")
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"libbinder":     {utf, "android.app.IActivityManager"},
		"before 11":     {append(make([]byte, 8), utf[12:]...), "android.app.IActivityManager"},
		"before 10":     {append(make([]byte, 4), utf[12:]...), "android.app.IActivityManager"},
		"libhwbinder":   {[]byte("android.hardware.light@2.0::ILight\x00\x00"), "android.hardware.light@2.0::ILight"},
		"nothing":       {nil, ""},
		"cut short":     {utf[:40], ""},
		"no end":        {[]byte(strings.Repeat("a.", 200)), ""},
		"not a name":    {parcel("rm -rf ."), ""},
		"no dot":        {parcel("ping"), ""},
		"control":       {parcel("a.b\x1b[2J"), ""},
		"negative":      {append(make([]byte, 12), 0xff, 0xff, 0xff, 0xff, 0, 0), ""},
		"longer by one": {parcel("a." + strings.Repeat("b", maxToken-1)), ""},
		"longest":       {parcel("a." + strings.Repeat("b", maxToken-2)), "a." + strings.Repeat("b", maxToken-2)},
	} {
		if got := parseToken(c.data); got != c.want {
			t.Errorf("%s: %q, expected %q", name, got, c.want)
		}
	}
}

func FuzzParseToken(f *testing.F) {
	f.Add(parcel("a.b"))
	f.Add([]byte("a.b::C\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s := parseToken(b); len(s) > maxToken || s != "" && !isName([]byte(s)) {
			t.Errorf("%q", s)
		}
	})
}
