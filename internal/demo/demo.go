// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"virtbinder/internal/jsonfile"
	"virtbinder/internal/lab"
)

// demo is the inner process: one run on a host that can run guests.
type demo struct {
	*Cmd
	*teller

	top   string
	inLab bool
	where lab.Usability

	monitor *host // virtbinder monitor
	boot    *host // virtbinder boot
	guest   *guest
	first   *program // the service that will be killed
	log     *os.File // commands run in the guest
}

// run does the steps and always leaves a result.json.
func (d *demo) run(ctx context.Context) error {
	if !d.inLab { // the outer process has done it
		if err := d.clear(); err != nil {
			return err
		}
		d.print("%s", d.paint("1", "virtbinder: Android's binder driver, outside of the guest"))
	}
	err := d.steps(ctx)
	d.cleanUp()
	r := d.result
	r.Passed = err == nil
	r.Reports, _ = readSeen(d.path(MonitorFile))
	if err != nil {
		r.Error = err.Error()
	}
	if werr := jsonfile.Write(d.path(ResultFile), r); werr != nil && err == nil {
		err = werr
	}
	if !d.inLab {
		code := 0
		if err != nil {
			code = 1
		}
		_ = os.WriteFile(d.path(ExitFile), fmt.Appendf(nil, "%d\n", code), 0o644)
	}
	if err != nil {
		d.failure(err)
		return ExitError{1}
	}
	d.print("\n%s  Everything was seen to happen, in %.0f s. Kept in %s", d.paint("1;32", "PASSED"), time.Since(d.begun).Seconds(), d.Out)
	return nil
}

func (d *demo) steps(ctx context.Context) error {
	log, err := os.Create(d.path(CommandsFile))
	if err != nil {
		return err
	}
	d.log = log
	for _, step := range []func(context.Context) error{
		d.stepImages, d.stepHost, d.stepBoot, d.stepAndroid, d.stepFailures, d.stepShutdown,
	} {
		if err := step(ctx); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// failure says what went wrong and where to look.
func (d *demo) failure(err error) {
	d.print("\n%s  %v", d.paint("1;31", "FAILED"), err)
	for _, name := range []string{BootLog, ConsoleFile, MonitorLog, MonitorFile} {
		if text := tail(d.path(name), 12); text != "" {
			d.print("  end of %s:\n%s", name, text)
		}
	}
	d.print("  Everything is in %s", d.Out)
}

// tail returns the last lines of a file, indented.
func tail(path string, lines int) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	all := bytes.Split(bytes.TrimRight(b, "\r\n"), []byte("\n"))
	all = all[max(0, len(all)-lines):]
	var out bytes.Buffer
	for _, l := range all {
		if len(l) > 0 {
			fmt.Fprintf(&out, "    %s\n", printable(string(bytes.TrimRight(l, "\r"))))
		}
	}
	return out.String()
}

func (d *demo) path(name string) string { return filepath.Join(d.Out, name) }

// cleanUp ends what still runs.
func (d *demo) cleanUp() {
	for _, h := range []*host{d.boot, d.monitor} {
		if h != nil {
			h.stop()
		}
	}
	if d.log != nil {
		_ = d.log.Close()
	}
}

// checkImages looks at what the guest boots.
func checkImages(t *teller, top, series string) error {
	for _, f := range []struct{ what, name string }{
		{"guest kernel", "vmlinuz"},
		{"guest driver, built for it", "virtbinder.ko"},
		{"initramfs: our init, AOSP 14's userspace, libgbinder's tools", "initrd.cpio"},
	} {
		name := filepath.Join("build", "guest", series, f.name)
		info, err := os.Stat(filepath.Join(top, name))
		if err != nil {
			return t.check(fmt.Errorf("%w; run `make images build initrd` in %s", err, top), f.what, "")
		}
		t.ok(f.what, "%s, %.1f MB", name, float64(info.Size())/1e6)
	}
	return nil
}

func (d *demo) stepImages(context.Context) error {
	if d.inLab {
		d.result.Steps = append(d.result.Steps, &Step{Number: 1, Title: "Images"})
		quiet := &teller{w: io.Discard, result: d.result}
		return checkImages(quiet, d.top, d.Guest)
	}
	d.step(1, "Images")
	return checkImages(d.teller, d.top, d.Guest)
}

func (d *demo) stepHost(context.Context) error {
	if d.inLab {
		d.result.Steps = append(d.result.Steps, &Step{Number: 2, Title: "Host"})
	} else {
		d.step(2, "Host")
		d.note("on this machine itself: %s", d.where.Reason)
	}
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return err
	}
	d.result.Host = unix.ByteSliceToString(u.Release[:])
	d.ok("host kernel", "%s", d.result.Host)
	var err error
	if !d.where.Direct {
		err = errors.New(d.where.Reason)
	}
	if err := d.check(err, "KVM", d.where.Reason); err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return d.check(errors.New("multicasting reports on netlink needs CAP_NET_ADMIN: run this as root"), "privileges", "")
	}
	return nil
}
