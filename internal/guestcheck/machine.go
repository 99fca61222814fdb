// SPDX-License-Identifier: Apache-2.0

package guestcheck

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"virtbinder/driver"
	"virtbinder/guest/agentclient"
	"virtbinder/virtio"
	"virtbinder/virtio/vbinder"
	"virtbinder/virtio/vbinder/wire"
	"virtbinder/virtio/vsock"
	"virtbinder/vmm"
)

// cmdline keeps the boot short and lets every complaint reach the console. Of what the
// sanitizing kernel has, the slabs' own checks are off: KASAN sees what they see.
const cmdline = "console=ttyS0 panic=-1 oops=panic loglevel=5 mitigations=off cryptomgr.notests random.trust_cpu=on kasan_multi_shot " +
	"slab_debug=- rcupdate.rcu_expedited=1"

// Config is what a Machine is made of.
type Config struct {
	Images  string // directory with vmlinuz and initrd.cpio
	Dir     string // for its files; the console's log stays there
	Memory  uint64 // MiB
	CPUs    int
	Window  uint64 // bytes of buffer window; 0: the device's default
	Worker  bool   // handles doorbells, so that answers come later than the kick
	Cmdline string // more of the kernel's command line
}

// Machine is a running guest, in this process.
type Machine struct {
	*agentclient.Client
	Binder  *vbinder.Device
	Console string // the file with what its console printed

	versions *otherVersion
	sock     *vsock.Device
	log      *os.File
	closed   bool
	ended    chan struct{}
	exit     vmm.Exit // valid once ended is closed
	err      error
	stop     context.CancelFunc
}

// Boot starts a guest and returns when its agent answers.
func Boot(ctx context.Context, c Config) (m *Machine, err error) {
	m = &Machine{Console: filepath.Join(c.Dir, "console.log"), ended: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(err, m.Close())
		}
	}()
	if m.log, err = os.Create(m.Console); err != nil {
		return m, err
	}
	quiet := slog.New(slog.NewTextHandler(m.log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	socket := filepath.Join(c.Dir, "vsock.sock")
	if m.sock, err = vsock.New(vsock.Config{CID: 3, Path: socket, Log: quiet}); err != nil {
		return m, err
	}
	m.Binder, err = vbinder.New(vbinder.Config{
		Name: "guestcheck", Core: driver.New(driver.Config{Log: quiet}), RequestQueues: c.CPUs, Inline: !c.Worker,
		WindowSize: c.Window, Log: quiet,
	})
	if err != nil {
		return m, err
	}
	m.versions = &otherVersion{Device: m.Binder}
	machine, err := vmm.New(vmm.Config{
		Name: "guestcheck", Kernel: filepath.Join(c.Images, "vmlinuz"), Initrd: filepath.Join(c.Images, "initrd.cpio"),
		Cmdline: cmdline + " " + c.Cmdline, MemoryBytes: c.Memory << 20, CPUs: c.CPUs, Inline: !c.Worker, Log: quiet,
		Console: vmm.Console{Out: []io.Writer{m.log}}, Devices: []virtio.Device{m.sock, m.versions},
	})
	if err != nil {
		return m, err
	}
	var running context.Context
	running, m.stop = context.WithCancel(context.WithoutCancel(ctx))
	go m.run(running, machine)
	return m, m.reach(ctx, socket)
}

// otherVersion is the device, which can pretend to be of a later protocol.
type otherVersion struct {
	*vbinder.Device
	later atomic.Uint32
}

// ReadConfig is the device's, with later added to the version.
func (d *otherVersion) ReadConfig(off uint32, p []byte) {
	d.Device.ReadConfig(off, p)
	if off == wire.OffConfigVersion && len(p) == 4 {
		binary.LittleEndian.PutUint32(p, binary.LittleEndian.Uint32(p)+d.later.Load())
	}
}

func (m *Machine) run(ctx context.Context, machine *vmm.Machine) {
	m.exit, m.err = machine.Run(ctx)
	m.err = errors.Join(m.err, machine.Close())
	close(m.ended)
}

// reach waits for the agent, or for the machine's untimely end.
func (m *Machine) reach(ctx context.Context, socket string) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-m.ended:
			cancel()
		case <-ctx.Done():
		}
	}()
	if m.Client, err = agentclient.Wait(ctx, socket); err != nil {
		return fmt.Errorf("the guest's agent does not answer: %w; see %s", err, m.Console)
	}
	if failures := m.Info().Failures; len(failures) > 0 {
		return fmt.Errorf("the guest's boot: %s", strings.Join(failures, "; "))
	}
	return nil
}

// End waits for the machine's own end.
func (m *Machine) End(ctx context.Context) (vmm.Exit, error) {
	select {
	case <-m.ended:
		return m.exit, m.err
	case <-ctx.Done():
		return vmm.Failed, ctx.Err()
	}
}

// Close ends the machine if it still runs and frees what it had. Its device's counters
// may still be read. Closing twice is closing once.
func (m *Machine) Close() error {
	if m.closed {
		return nil
	}
	m.closed = true
	var errs []error
	if m.stop != nil {
		m.stop()
		<-m.ended
	}
	if m.Binder != nil {
		errs = append(errs, m.Binder.Close())
	}
	if m.sock != nil {
		errs = append(errs, m.sock.Close())
	}
	if m.log != nil {
		errs = append(errs, m.log.Close())
	}
	return errors.Join(errs...)
}

// Run runs a command in the guest and returns its standard output; an exit code other
// than 0 is an error.
func (m *Machine) Run(ctx context.Context, stdin io.Reader, path string, args ...string) (string, error) {
	var out, errs bytes.Buffer
	exit, err := m.Exec(ctx, agentclient.Cmd{Path: path, Args: args, Stdin: stdin, Stdout: &out, Stderr: &errs})
	if err == nil && exit != 0 {
		err = fmt.Errorf("exit code %d: %s", exit, strings.TrimSpace(out.String()+errs.String()))
	}
	if err != nil {
		err = fmt.Errorf("%s %s: %w", path, strings.Join(args, " "), err)
	}
	return out.String(), err
}

// Shell runs a script in the guest.
func (m *Machine) Shell(ctx context.Context, script string) (string, error) {
	return m.Run(ctx, nil, "sh", "-c", script)
}
