// SPDX-License-Identifier: Apache-2.0

package boot

import (
	"path/filepath"

	"virtbinder/driver"
	"virtbinder/internal/journal"
	"virtbinder/internal/rundir"
	"virtbinder/netlink"
)

// failures is where a machine's failures go: into its journal, one ring slot, and
// from there, by goroutines that no transaction waits for, to netlink and to the
// journal's socket.
type failures struct {
	vm      string
	emitter *netlink.Emitter
	journal *journal.Journal
	server  *journal.Server
	fed     chan struct{} // closed when the emitter has got the last report
}

func openFailures(vm VM, want netlink.Want, plain bool) (*failures, error) {
	opts := netlink.Options{
		VM: vm.Name, PlainContexts: plain, Want: want,
		Socket:      filepath.Join(vm.Dir, rundir.ReportsSocket),
		RuntimeFile: filepath.Join(vm.Dir, rundir.NetlinkFile),
		Log:         vm.Log,
	}
	emitter, err := netlink.NewEmitter(opts)
	if err != nil {
		return nil, err
	}
	f := &failures{vm: vm.Name, emitter: emitter, journal: journal.New(journal.Remembered), fed: make(chan struct{})}
	suffix := "@" + vm.Name
	if plain {
		suffix = ""
	}
	hello := journal.Hello{VM: vm.Name, Ports: emitter.Ports(), Socket: opts.Socket}
	f.server, err = journal.Serve(f.journal, filepath.Join(vm.Dir, rundir.JournalSocket), hello, suffix, vm.Log)
	if err != nil {
		emitter.Close()
		return nil, err
	}
	go func() {
		defer close(f.fed)
		f.journal.Feed(emitter.Emit, emitter.Missed)
	}()
	return f, nil
}

// close lets everything that was told still leave.
func (f *failures) close() error {
	f.journal.Close()
	f.server.Close()
	<-f.fed
	return f.emitter.Close()
}

// report and notice are the core's callbacks.
func (f *failures) report(r driver.Report) {
	f.journal.Append(journal.Record{
		Kind: journal.KindReport, Report: toNetlink(&r),
		Errno: r.Errno, Pending: r.Pending, Free: r.Free, Size: r.Size, Interface: r.Interface,
		FromName: r.FromComm, ToName: r.ToComm,
	})
}

func (f *failures) notice(n driver.Notice) {
	f.journal.Append(journal.Record{
		Kind: noticeKinds[n.Kind],
		Report: netlink.Report{Context: n.Context, FromPID: n.FromPID, FromTID: n.FromTID, ToPID: n.ToPID, HasToPID: true,
			Flags: n.Flags, Code: n.Code, DataSize: uint32(n.DataSize)},
		Free: n.Free, Size: n.Size, Count: n.Count,
		FromName: n.FromComm, ToName: n.ToComm,
	})
}

var noticeKinds = map[driver.NoticeKind]journal.Kind{
	driver.NoticeDeliveryFailed: journal.KindDeliveryFailed,
	driver.NoticeCallLost:       journal.KindCallLost,
	driver.NoticeOnewaysLost:    journal.KindOnewaysLost,
	driver.NoticeBufferLow:      journal.KindBufferLow,
}

// toNetlink is the core's report in netlink's terms. The VM is not a field there:
// the emitter puts it into the context's name.
func toNetlink(r *driver.Report) netlink.Report {
	return netlink.Report{
		Error: r.Error, Context: r.Context, FromPID: r.FromPID, FromTID: r.FromTID,
		ToPID: r.ToPID, ToTID: r.ToTID, HasToPID: r.HasTo, HasToTID: r.HasToTID,
		IsReply: r.IsReply, Flags: r.Flags, Code: r.Code, DataSize: r.DataSize,
	}
}
