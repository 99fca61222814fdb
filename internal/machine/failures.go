// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"fmt"
	"log/slog"
	"path/filepath"

	"virtbinder/driver"
	"virtbinder/internal/config"
	"virtbinder/internal/journal"
	"virtbinder/internal/rundir"
	"virtbinder/netlink"
)

// failures is where a machine's failures go: into its journal, one ring slot, and
// from there, by goroutines that no transaction waits for, to netlink and to the
// journal's socket.
type failures struct {
	vm      string
	suffix  string // of contexts, on the host
	emitter *netlink.Emitter
	journal *journal.Journal
	server  *journal.Server
	fed     chan struct{} // closed when the emitter has got the last report
}

// openFailures opens the ways that lead out of dir, the VM's runtime directory.
func openFailures(dir string, vm *config.VM, log *slog.Logger) (*failures, error) {
	want, err := netlink.ParseWant(vm.Netlink.Reports)
	if err != nil {
		return nil, fmt.Errorf("netlink.reports: %w", err)
	}
	opts := netlink.Options{
		VM: vm.Name, PlainContexts: vm.Netlink.PlainContexts, Want: want,
		Socket:      filepath.Join(dir, rundir.ReportsSocket),
		RuntimeFile: filepath.Join(dir, rundir.NetlinkFile),
		Log:         log,
	}
	emitter, err := netlink.NewEmitter(opts)
	if err != nil {
		return nil, err
	}
	f := &failures{vm: vm.Name, emitter: emitter, journal: journal.New(journal.Remembered), fed: make(chan struct{})}
	if !vm.Netlink.PlainContexts {
		f.suffix = "@" + vm.Name
	}
	hello := journal.Hello{VM: vm.Name, Ports: emitter.Ports(), Socket: opts.Socket}
	f.server, err = journal.Serve(f.journal, filepath.Join(dir, rundir.JournalSocket), hello, f.suffix, log)
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
