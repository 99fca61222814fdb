// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"virtbinder/internal/lab/job"
)

// startTimeout bounds how long L1 may take to run the command's first instruction; it takes seconds, a loaded
// machine's minute is not a failure yet.
const startTimeout = 5 * time.Minute

// Lab is a booting or running L1. Its methods may be called from several goroutines.
type Lab struct {
	// Console is the file that L1's console goes to. It stays after the run.
	Console string

	dir     string
	qemu    *exec.Cmd
	control *os.File
	wait    chan result
}

type result struct {
	exit int
	err  error
}

// Run boots an L1, runs the command and returns its exit code. The error is about the lab: not booted, died. When ctx
// ends, QEMU and all that ran in it are killed, and ctx's error is returned.
func Run(ctx context.Context, c Config) (int, error) {
	l, err := Start(ctx, c)
	if err != nil {
		return 0, err
	}
	return l.Wait()
}

// Start boots an L1 and returns at once. Wait has to be called.
func Start(ctx context.Context, c Config) (*Lab, error) {
	im, err := c.resolve()
	if err != nil {
		return nil, err
	}
	shares, err := im.shares()
	if err != nil {
		return nil, err
	}
	l := &Lab{wait: make(chan result, 1)}
	if l.dir, err = runDir(im.build, c.Kernel); err != nil {
		return nil, err
	}
	l.Console = filepath.Join(l.dir, "console.log")
	initrd := filepath.Join(l.dir, "initrd.cpio")
	j := job.Job{
		Args: c.Args, Env: c.Env, Dir: c.Dir, TTY: c.TTY, Rows: c.Rows, Cols: c.Cols, Stdin: c.Stdin != nil,
		Shares: shares, Binder: c.Binder,
	}
	if c.User {
		j.UID = job.User
	}
	if err := writeInitrd(initrd, im.initrd, im.init, &j); err != nil {
		return nil, err
	}
	ours, theirs, err := socketPairs(len(portNames))
	if err != nil {
		return nil, err
	}
	l.qemu = exec.Command(im.qemu, qemuArgs(&c, im, initrd, l.Console, shares)...)
	l.qemu.ExtraFiles = theirs
	log, err := os.Create(filepath.Join(l.dir, "qemu.log"))
	if err != nil {
		return nil, err
	}
	l.qemu.Stdout, l.qemu.Stderr = log, log
	// A group of its own, so that the terminal's ctrl-c reaches the command and not QEMU.
	l.qemu.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error, 1)
	go l.supervise(ctx, &c, ours, started)
	err = <-started
	closeAll(theirs)
	log.Close()
	if err != nil {
		closeAll(ours)
		return nil, fmt.Errorf("lab: %w", err)
	}
	return l, nil
}

// Signal delivers a signal to the command.
func (l *Lab) Signal(s syscall.Signal) error {
	return json.NewEncoder(l.control).Encode(job.Request{Signal: int(s)})
}

// Wait waits for the command's end and returns its exit code, 128+n when signal n ended it.
func (l *Lab) Wait() (int, error) {
	r := <-l.wait
	l.wait <- r
	return r.exit, r.err
}

// supervise starts QEMU and sees it to its end. It keeps one thread for that time, because QEMU is to die with the
// thread that started it.
func (l *Lab) supervise(ctx context.Context, c *Config, ours []*os.File, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	l.control = ours[0]
	if err := l.qemu.Start(); err != nil {
		started <- err
		return
	}
	started <- nil
	streams := copyStreams(c, ours[1], ours[2], ours[3])
	event := make(chan job.Event, 1)
	running := make(chan struct{})
	go readEvents(ours[0], running, event)
	watch, stop := context.WithCancelCause(ctx)
	go l.watch(watch, stop, running)
	go heartbeat(watch, ours[0], running)
	err := l.qemu.Wait()
	stop(nil)
	<-streams
	closeAll(ours)
	exit, err := l.outcome(<-event, err, context.Cause(watch), ctx.Err())
	os.Remove(filepath.Join(l.dir, "initrd.cpio"))
	l.wait <- result{exit, err}
}

// watch kills QEMU when the run is to end early.
func (l *Lab) watch(ctx context.Context, stop context.CancelCauseFunc, running <-chan struct{}) {
	select {
	case <-running:
	case <-ctx.Done():
	case <-time.After(startTimeout):
		stop(fmt.Errorf("the command did not start within %v", startTimeout))
	}
	<-ctx.Done()
	unix.Kill(-l.qemu.Process.Pid, unix.SIGKILL)
}

// beat is how often the heartbeat disturbs L1.
const beat = 100 * time.Millisecond

// heartbeat sends L1 an interrupt now and then. QEMU 10.0's emulation of AMD-V can lose the request for an interrupt:
// leaving an L2 changes the processor's pending-interrupt word without a lock, while the timer's thread sets a bit in it. If
// that was L1's only armed timer, L1 sleeps for ever, with the interrupt pending in its APIC. Any other interrupt
// makes it look. A line break between messages means nothing to L1's init.
func heartbeat(ctx context.Context, control io.Writer, running <-chan struct{}) {
	select {
	case <-running:
	case <-ctx.Done():
		return
	}
	t := time.NewTicker(beat)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			if _, err := control.Write([]byte{'\n'}); err != nil {
				return
			}
		}
	}
}

// outcome decides what the run came to.
func (l *Lab) outcome(e job.Event, qemu, cause, cancelled error) (int, error) {
	switch {
	case cancelled != nil:
		return 0, cancelled
	case cause != nil && !errors.Is(cause, context.Canceled):
		return 0, fmt.Errorf("lab: %w; %s", cause, l.evidence())
	case e.Error != "":
		return 0, fmt.Errorf("lab: on the lab's host: %s; logs are in %s", e.Error, l.dir)
	case e.Done:
		return e.Exit, nil
	case qemu == nil:
		return 0, fmt.Errorf("lab: its host panicked, reset or powered off before the command ended; %s", l.evidence())
	}
	return 0, fmt.Errorf("lab: QEMU ended early (%w); %s", qemu, l.evidence())
}

// evidence names the logs and shows the ends of those that say something.
func (l *Lab) evidence() string {
	var b strings.Builder
	fmt.Fprintf(&b, "logs are in %s", l.dir)
	for _, name := range []string{"qemu.log", "console.log"} {
		text, err := os.ReadFile(filepath.Join(l.dir, name))
		if err != nil || len(text) == 0 {
			continue
		}
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		lines = slices.DeleteFunc(lines, func(s string) bool { return strings.Contains(s, "warning: TCG doesn't support") })
		if len(lines) == 0 {
			continue
		}
		lines = lines[max(0, len(lines)-15):]
		fmt.Fprintf(&b, "\n  end of %s:\n    %s", name, strings.Join(lines, "\n    "))
	}
	return b.String()
}

// readEvents closes running at the command's start and sends the last event, or a zero one when the port closes.
func readEvents(control io.Reader, running chan<- struct{}, last chan<- job.Event) {
	for d := json.NewDecoder(control); ; {
		var e job.Event
		if err := d.Decode(&e); err != nil {
			last <- job.Event{}
			return
		}
		if e.Started && running != nil {
			close(running)
			running = nil
		}
		if e.Done {
			last <- e
			return
		}
	}
}

// copyStreams joins the command's streams to the ports. The channel closes when all its output has been written.
func copyStreams(c *Config, in, out, errs *os.File) <-chan struct{} {
	if c.Stdin != nil {
		go func() {
			io.Copy(in, c.Stdin)
			unix.Shutdown(int(in.Fd()), unix.SHUT_WR)
		}()
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		copied := make(chan struct{})
		go func() {
			defer close(copied)
			io.Copy(orDiscard(c.Stderr), errs)
		}()
		io.Copy(orDiscard(c.Stdout), out)
		<-copied
	}()
	return done
}

func orDiscard(w io.Writer) io.Writer {
	if w == nil {
		return io.Discard
	}
	return w
}

// runDir makes a new directory for a run's files and points build/lab/last at it.
func runDir(build, kernel string) (string, error) {
	base := filepath.Join(build, "lab")
	if err := os.MkdirAll(base, 0o755); err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(base, time.Now().Format("20060102-150405-")+kernel+"-")
	if err != nil {
		return "", err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return "", err
	}
	last := filepath.Join(base, "last")
	os.Remove(last)
	os.Symlink(filepath.Base(dir), last) // a convenience; two runs at once may race for it
	return dir, nil
}

// socketPairs makes n connected pairs, our ends and QEMU's.
func socketPairs(n int) (ours, theirs []*os.File, err error) {
	for range n {
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			closeAll(ours)
			closeAll(theirs)
			return nil, nil, err
		}
		if err := unix.SetNonblock(fds[0], true); err != nil {
			return nil, nil, err
		}
		ours = append(ours, os.NewFile(uintptr(fds[0]), "lab port"))
		theirs = append(theirs, os.NewFile(uintptr(fds[1]), "qemu port"))
	}
	return ours, theirs, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}
