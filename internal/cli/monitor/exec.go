// SPDX-License-Identifier: Apache-2.0

package monitor

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"time"
)

// maxRunning bounds the commands that run at once.
const maxRunning = 8

// executor runs the command of --exec. It never waits for one: what comes too
// quickly, or while too many still run, is left out and counted.
type executor struct {
	command string
	guest   bool
	rate    int           // runs a second
	out     io.Writer     // safe for several commands at once
	slots   chan struct{} // one token a running command
	wg      sync.WaitGroup

	// Only the receiving goroutine uses these.
	second       int64 // of the last run, Unix time
	inSecond     int
	ran, skipped int
}

func newExecutor(command string, guest bool, rate int, out io.Writer) *executor {
	return &executor{command: command, guest: guest, rate: max(rate, 1), out: out, slots: make(chan struct{}, maxRunning)}
}

// offer runs the command for ev if it is the host kernel's, or a VM's and these
// were asked for.
func (x *executor) offer(ev *event) {
	if !ev.FromKernel && !x.guest {
		return
	}
	if !x.allowed(time.Now().Unix()) {
		x.skipped++
		return
	}
	select {
	case x.slots <- struct{}{}:
	default:
		x.skipped++
		return
	}
	x.ran++
	cmd := exec.Command("/bin/sh", "-c", x.command)
	cmd.Env = append(os.Environ(), reportEnv(ev)...)
	cmd.Stdout, cmd.Stderr = x.out, x.out
	x.wg.Go(func() {
		defer func() { <-x.slots }()
		if err := cmd.Run(); err != nil {
			fmt.Fprintf(x.out, "virtbinder monitor: --exec: %v\n", err)
		}
	})
}

// allowed keeps the rate.
func (x *executor) allowed(second int64) bool {
	if second != x.second {
		x.second, x.inSecond = second, 0
	}
	if x.inSecond >= x.rate {
		return false
	}
	x.inSecond++
	return true
}

// finish waits for what still runs.
func (x *executor) finish() (ran, skipped int) {
	x.wg.Wait()
	return x.ran, x.skipped
}

// reportEnv is the report as environment variables. Pids of a guest have names
// of their own, so that no command takes them for the host's.
func reportEnv(ev *event) []string {
	r := &ev.Report
	num := func(v uint32) string { return strconv.FormatUint(uint64(v), 10) }
	pids := "REPORT_"
	if !ev.FromKernel {
		pids = "REPORT_GUEST_"
	}
	env := []string{
		"REPORT_ERROR=" + ev.name(), "REPORT_CONTEXT=" + r.Context, "REPORT_KIND=" + kind(r),
		"REPORT_FLAGS=" + num(r.Flags), "REPORT_CODE=" + num(r.Code), "REPORT_DATA_SIZE=" + num(r.DataSize),
		pids + "FROM_PID=" + num(r.FromPID), pids + "FROM_TID=" + num(r.FromTID),
	}
	if !ev.FromKernel {
		env = append(env, "REPORT_VM="+ev.VM)
	}
	for name, value := range map[string]string{"REPORT_REASON": ev.reason(), pids + "FROM_NAME": ev.fromName, pids + "TO_NAME": ev.toName} {
		if value != "" {
			env = append(env, name+"="+value)
		}
	}
	if ev.rec != nil && ev.rec.Interface != "" {
		env = append(env, "REPORT_INTERFACE="+ev.rec.Interface)
	}
	if r.HasToPID {
		env = append(env, pids+"TO_PID="+num(r.ToPID))
	}
	if r.HasToTID {
		env = append(env, pids+"TO_TID="+num(r.ToTID))
	}
	return env
}

// lockedWriter lets several commands and ourselves share a stream.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

// Write implements io.Writer.
func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
