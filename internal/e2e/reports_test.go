// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"virtbinder/guest/agentclient"
	"virtbinder/internal/journal"
	"virtbinder/internal/lab"
	"virtbinder/internal/rundir"
	"virtbinder/netlink"
)

// vmName is the guest's; reports call its contexts binder@golden.
const vmName = "golden"

// TestReportsPlain: on a host without the binder family, the cases of the kernel's
// capture are played in a guest, on our device. What a raw socket receives on the
// host, with plain context names, are the kernel's bytes.
func TestReportsPlain(t *testing.T) {
	failures := program(t, "failures", "./guest/failures")
	onLabHost(t, "6.12", func(t *testing.T) {
		wrongNamespaces(t)
		raw := newRawListener(t)
		raw.join(t, netlink.FallbackGroup)
		vm := bootVM(t, "--plain-contexts")
		vm.isJailed()
		if st := vm.status(); st.Mode != netlink.ModeFallback {
			t.Fatalf("reports go by mode %s: %s", st.Mode, st.Why)
		}
		ours := play(t, raw, "guest", "", vm.runner(failures))
		againstGolden(t, ours)
		inJournal(t, ours)
		familyComesAndGoes(t, raw, vm, failures)
	})
}

// wrongNamespaces: from a network or user namespace of its own a machine's reports
// would reach nobody on the host, and `virtbinder doctor` says so.
func wrongNamespaces(t *testing.T) {
	t.Helper()
	one := []syscall.SysProcIDMap{{HostID: 0, Size: 1}}
	for name, c := range map[string]struct {
		as        *syscall.SysProcAttr
		mode      netlink.Mode
		net, user netlink.Answer
		warning   string // in the checks
	}{
		"the host's own": {&syscall.SysProcAttr{}, netlink.ModeFallback, netlink.Yes, netlink.Yes, ""},
		"network":        {&syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}, netlink.ModeFallback, netlink.No, netlink.Yes, "the network namespace is not the host's"},
		"user":           {&syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, UidMappings: one, GidMappings: one}, netlink.ModeUnix, netlink.Yes, netlink.No, "the user namespace is not the host's"},
	} {
		cmd := exec.Command("../../build/bin/virtbinder", "doctor", "--json")
		cmd.SysProcAttr = c.as
		out, err := cmd.Output()
		if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) { // what else is wrong here is not the question
			t.Fatal(err)
		}
		var r struct{ Reports netlink.Status }
		if err := json.Unmarshal(out, &r); err != nil {
			t.Fatalf("%s: %v in %s", name, err, out)
		}
		if ns := r.Reports.Namespace; r.Reports.Mode != c.mode || ns.InitialNet != c.net || ns.InitialUser != c.user {
			t.Errorf("namespace %s: %+v", name, r.Reports)
		}
		if !bytes.Contains(out, []byte(c.warning)) {
			t.Errorf("namespace %s: the doctor does not say %q:\n%s", name, c.warning, out)
		}
	}
}

// familyComesAndGoes: reports follow the binder family, for as long as it is there, by
// sockets that were connected before every privilege was given up. The family is that
// of our own guest driver, which unlike the kernel's can be unloaded.
func familyComesAndGoes(t *testing.T, raw *rawListener, vm *machine, failures string) {
	t.Helper()
	some := vm.runner(failures, "-acts", "without-manager")
	for range 2 {
		load(t, "../../build/guest/6.12/virtbinder.ko", "devices=none")
		id, group, ok := family(t)
		if !ok {
			t.Fatal("our driver registers no family here")
		}
		raw.join(t, group)
		until(t, "mode a", func() bool { return vm.status().Mode == netlink.ModeGenuine })
		for _, c := range play(t, raw, "guest", "", some).captured {
			if c.group != 1<<(group-1) || c.typ() != id {
				t.Errorf("with the family %d there, a report came as %d through %#x", id, c.typ(), c.group)
			}
		}
		if err := unix.DeleteModule("virtbinder", 0); err != nil {
			t.Fatal(err)
		}
		until(t, "mode a'", func() bool { return vm.status().Mode == netlink.ModeFallback })
		for _, c := range play(t, raw, "guest", "", some).captured {
			if c.group != 1<<(netlink.FallbackGroup-1) {
				t.Errorf("with the family gone, a report came through %#x", c.group)
			}
		}
	}
}

// TestReportsBesideKernel: on a host whose own driver reports, the same cases are
// played on that driver and in a guest on our device, and captured by the same
// socket. The driver comes while the guest runs, so reports have to move to its
// group, after every privilege has been given up.
func TestReportsBesideKernel(t *testing.T) {
	failures := program(t, "failures", "./guest/failures")
	onLabHost(t, "7.x", func(t *testing.T) {
		raw := newRawListener(t)
		raw.join(t, netlink.FallbackGroup)
		vm := bootVM(t)
		if st := vm.status(); st.Mode != netlink.ModeFallback {
			t.Fatalf("before the kernel's driver is there, reports go by mode %s: %s", st.Mode, st.Why)
		}
		vm.isJailed()
		load(t, "/lib/l1/binder_linux.ko", "devices=binder,hwbinder")
		_, group, ok := family(t)
		if !ok {
			t.Fatal("the kernel's driver is loaded and its family is not there")
		}
		raw.join(t, group)
		until(t, "mode a in the runtime file", func() bool { return vm.status().Mode == netlink.ModeGenuine })

		stock := play(t, raw, "host", "", func(ctx context.Context) ([]byte, error) {
			return exec.CommandContext(ctx, failures).Output()
		})
		ours := play(t, raw, "guest", vmName, vm.runner(failures))
		for _, c := range stock.captured {
			if c.port != 0 || c.group != 1<<(group-1) {
				t.Errorf("the kernel's report came from port %d through %#x", c.port, c.group)
			}
		}
		for _, c := range ours.captured {
			if c.port == 0 || c.group != 1<<(group-1) {
				t.Errorf("our report came from port %d through %#x", c.port, c.group)
			}
		}
		againstGolden(t, stock)
		againstGolden(t, ours)
		sameButForSuspects(t, stock, ours)
		monitorAtWork(t, vm, failures)
	})
}

// monitorAtWork runs `virtbinder monitor` as a user would, once as the machine's owner
// and once as anybody, while a few things fail on the host and in the guest. What it
// prints is kept; README.md shows it.
func monitorAtWork(t *testing.T, vm *machine, failures string) {
	t.Helper()
	owner := vm.monitor("monitor.txt", nil)
	anybody := vm.monitor("monitor-anybody.txt", &syscall.Credential{Uid: 1000, Gid: 1000})
	few := []string{"-markers=false", "-acts", "frozen,target-lost,files"}
	if out, err := exec.CommandContext(t.Context(), failures, few[0], few[1], "frozen").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if out, err := vm.runner(failures, few...)(t.Context()); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, c := range []struct {
		text  string
		owner bool // said to the machine's owner alone
	}{
		{"(host kernel) -- target frozen: it takes no calls", false},
		{"binder@" + vmName, false},
		{"-- target frozen: 1 oneway pending", true},
		{"delivery-failed", true},
		{"call-lost", true},
	} {
		until(t, c.text+" from the owner's monitor", func() bool { return strings.Contains(owner.said(), c.text) })
		if got := strings.Contains(anybody.said(), c.text); !c.owner && !got || c.owner && got {
			t.Errorf("%q from anybody's monitor: %v", c.text, got)
		}
	}
	owner.end()
	anybody.end()
	for m, text := range map[*monitor]string{owner: "client  to ", anybody: "target frozen: the oneway waits"} {
		if !strings.Contains(m.said(), text) {
			t.Errorf("%s has no %q:\n%s", m.path, text, m.said())
		}
	}
	if n := strings.Count(owner.said(), "BR_FROZEN_REPLY"); n != 2 {
		t.Errorf("the owner's monitor has %d frozen replies, one on the host and one in the guest:\n%s", n, owner.said())
	}
}

// monitor is a running `virtbinder monitor`.
type monitor struct {
	t    *testing.T
	path string
	cmd  *exec.Cmd
}

// monitor starts one, its output in a file of build/e2e, as the given user.
func (m *machine) monitor(name string, as *syscall.Credential) *monitor {
	m.t.Helper()
	out, err := os.Create(filepath.Join("../../build/e2e", name))
	if err != nil {
		m.t.Fatal(err)
	}
	defer out.Close()
	dir := m.t.TempDir()
	for d := dir; as != nil && d != "/tmp"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o777); err != nil {
			m.t.Fatal(err)
		}
	}
	ready := filepath.Join(dir, "ready")
	r := &monitor{t: m.t, path: out.Name(), cmd: exec.Command("../../build/bin/virtbinder", "monitor", "--color", "never", "--ready-file", ready)}
	r.cmd.Stdout, r.cmd.SysProcAttr = out, &syscall.SysProcAttr{Credential: as}
	if err := r.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	until(m.t, "a monitor to be ready", func() bool { _, err := os.Stat(ready); return err == nil })
	return r
}

func (r *monitor) said() string {
	b, err := os.ReadFile(r.path)
	if err != nil {
		r.t.Fatal(err)
	}
	return string(b)
}

func (r *monitor) end() {
	_ = r.cmd.Process.Signal(syscall.SIGTERM)
	if err := r.cmd.Wait(); err != nil {
		r.t.Errorf("%s: %v", r.path, err)
	}
}

// load inserts a kernel module.
func load(t *testing.T, path, params string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.FinitModule(int(f.Fd()), params, 0); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// played is what one run of the cases led to.
type played struct {
	where    string
	results  []result
	captured []capture           // all, markers too
	cases    map[string][]string // by case, normalised
	roles    map[string]map[string]uint32
}

// result is what package guest/failures prints.
type result struct {
	Case     string
	Number   uint32
	Roles    map[string]uint32
	Sender   []string  `json:"sender_br"`
	Target   []string  `json:"target_br"`
	Extended *[2]int32 `json:"extended"`
}

// markerCode is guest/failures' MarkerCode.
const markerCode = 0x4d000000

// listener is a client of the reports.
type listener interface {
	all() ([]capture, error) // that came so far
}

// play runs the cases and sorts what the socket received by them: the report with a
// case's marker ends it.
func play(t *testing.T, raw listener, where, vm string, run func(context.Context) ([]byte, error)) *played {
	t.Helper()
	before, _ := raw.all()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	out, err := run(ctx)
	if err != nil {
		t.Fatalf("on the %s: %v; it printed\n%s", where, err, out)
	}
	p := &played{where: where, cases: map[string][]string{}, roles: map[string]map[string]uint32{}}
	for line := range bytes.Lines(out) {
		var r result
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatalf("on the %s: %v in %q", where, err, line)
		}
		p.results = append(p.results, r)
	}
	last := markerCode + p.results[len(p.results)-1].Number
	until(t, "the last marker's report from the "+where, func() bool {
		all, err := raw.all()
		if err != nil {
			t.Fatal(err)
		}
		p.captured = all[len(before):]
		return slices.ContainsFunc(p.captured, func(c capture) bool { return c.number(9) == last })
	})
	p.sort(t, vm)
	return p
}

func (p *played) sort(t *testing.T, vm string) {
	t.Helper()
	rest := p.captured
	for _, r := range p.results {
		end := slices.IndexFunc(rest, func(c capture) bool { return c.number(9) == markerCode+r.Number })
		if end < 0 {
			t.Fatalf("on the %s: the report after case %s is missing", p.where, r.Case)
		}
		reports := []string{}
		for _, c := range rest[:end] {
			reports = append(reports, normal(t, c.bytes, r.Roles, vm))
		}
		p.cases[r.Case] = reports
		rest = rest[end+1:]
	}
	if len(rest) > 0 {
		t.Errorf("on the %s: %d reports came after the last case: %v", p.where, len(rest), rest)
	}
}

// againstGolden compares with the kernel's capture: codes read, extended errors, and
// reports byte for byte.
func againstGolden(t *testing.T, p *played) {
	t.Helper()
	byName := map[string]result{}
	for _, r := range p.results {
		byName[r.Case] = r
	}
	for _, g := range readGolden(t) {
		r, ok := byName[g.Case]
		if !ok {
			t.Errorf("on the %s: case %s was not played", p.where, g.Case)
			continue
		}
		roles := map[string]uint32{}
		for role, pid := range g.Procs {
			roles[role] = uint32(pid)
		}
		want := []string{}
		for _, rep := range g.Reports {
			b, err := hex.DecodeString(rep.Hex)
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, normal(t, b, roles, ""))
		}
		if diff := cmp.Diff(want, p.cases[g.Case]); diff != "" {
			t.Errorf("on the %s: reports of %s (-kernel 7.2.13 +here):\n%s", p.where, g.Case, diff)
		}
		if diff := cmp.Diff(g.Sender, r.Sender); diff != "" {
			t.Errorf("on the %s: what the sender of %s reads (-kernel 7.2.13 +here):\n%s", p.where, g.Case, diff)
		}
		if diff := cmp.Diff(g.Target, r.Target); diff != "" {
			t.Errorf("on the %s: what the target of %s reads (-kernel 7.2.13 +here):\n%s", p.where, g.Case, diff)
		}
		if e := g.Extended; e != nil && r.Extended != nil && *r.Extended != [2]int32{e[1], e[2]} {
			t.Errorf("on the %s: extended error of %s is %v, the kernel's was %v", p.where, g.Case, *r.Extended, *e)
		}
	}
}

// own are the cases of which the kernel reports nothing and the machine's journal
// tells.
var own = map[string][]journal.Kind{
	"N_client_dies":            nil,
	"N_client_dies2":           nil,
	"N_unknown_bc":             nil,
	"N_target_read_efault":     {journal.KindDeliveryFailed},
	"N_target_thread_exit":     {journal.KindCallLost},
	"N_target_dies_delivered":  {journal.KindCallLost},
	"N_target_dies_queued":     {journal.KindCallLost},
	"N_target_fd_fixup":        {journal.KindOnewaysLost, journal.KindDeliveryFailed}, // first the end of the flood before
	"N_target_fd_fixup_oneway": {journal.KindDeliveryFailed},
}

// inJournal compares with what the machine's journal remembers: the same reports, with
// the errno of the extended error, and what no report tells.
func inJournal(t *testing.T, p *played) {
	t.Helper()
	c, err := journal.Dial(filepath.Join(rundir.VM(vmName), rundir.JournalSocket))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, r := range p.results {
		var reports []*journal.Record
		var kinds []journal.Kind
		for {
			m, err := c.Next()
			if err != nil || m.Record == nil {
				t.Fatalf("journal at %s: %+v, %v", r.Case, m, err)
			}
			if m.Record.Report.Code == markerCode+r.Number {
				break
			}
			if m.Record.Kind == journal.KindReport {
				reports = append(reports, m.Record)
			} else {
				kinds = append(kinds, m.Record.Kind)
			}
		}
		if len(reports) != len(p.cases[r.Case]) {
			t.Errorf("journal: %d reports of %s, %d on netlink", len(reports), r.Case, len(p.cases[r.Case]))
		}
		if want, ok := own[r.Case]; ok && !slices.Equal(want, kinds) {
			t.Errorf("journal: %v of %s, expected %v", kinds, r.Case, want)
		}
		if e := r.Extended; e != nil && e[1] != 0 && -e[1] != int32(reports[len(reports)-1].Errno) {
			t.Errorf("journal: errno %d of %s, the sender's extended error is %d", reports[len(reports)-1].Errno, r.Case, e[1])
		}
		if last := len(reports) - 1; r.Case == "spam_and_frozen_between" && reports[last].Pending != noRoom-1 {
			t.Errorf("journal: %d oneways pending, %d were sent", reports[last].Pending, noRoom-1)
		}
	}
}

// noRoom is guest/failures': the oneway of a flood that finds no space.
const noRoom = 17

// suspectFails is the one case in which we differ from the C driver on purpose.
const suspectFails = "suspect_fails"

// sameButForSuspects compares two runs on one host, those cases too that the old
// capture does not have. Where a suspect also fails, the C driver reports the
// failure; we follow the Rust driver and report both, the suspicion first.
func sameButForSuspects(t *testing.T, stock, ours *played) {
	t.Helper()
	if len(stock.results) != len(ours.results) {
		t.Fatalf("%d cases on the stock driver, %d on ours", len(stock.results), len(ours.results))
	}
	for _, r := range stock.results {
		theirs, mine := stock.cases[r.Case], ours.cases[r.Case]
		if r.Case == suspectFails {
			if len(theirs) != 1 || len(mine) != 2 || mine[1] != theirs[0] {
				t.Errorf("a suspect that fails: the stock driver reports\n%v\nours\n%v", theirs, mine)
				continue
			}
			spam := strings.Replace(theirs[0], errorAttr(netlink.BRFailedReply), errorAttr(netlink.BROnewaySpamSuspect), 1)
			if mine[0] != spam {
				t.Errorf("the suspicion is\n%s\nexpected\n%s", mine[0], spam)
			}
			continue
		}
		if diff := cmp.Diff(theirs, mine); diff != "" {
			t.Errorf("reports of %s (-stock +ours):\n%s", r.Case, diff)
		}
	}
	for i, r := range stock.results {
		if diff := cmp.Diff([]any{r.Sender, r.Target, r.Extended}, []any{ours.results[i].Sender, ours.results[i].Target, ours.results[i].Extended}); diff != "" {
			t.Errorf("what is read in %s (-stock +ours):\n%s", r.Case, diff)
		}
	}
}

// errorAttr is the attribute "error" in hex.
func errorAttr(code uint32) string {
	return hex.EncodeToString(ne.AppendUint32(ne.AppendUint16(ne.AppendUint16(nil, 8), 1), code))
}

// machine is a running `virtbinder boot`.
type machine struct {
	t     *testing.T
	cmd   *exec.Cmd
	agent *agentclient.Client
	log   bytes.Buffer
}

// bootVM boots a guest and waits for its agent. It is ended with the test.
func bootVM(t *testing.T, flags ...string) *machine {
	t.Helper()
	return bootGuest(t, "6.12", flags...)
}

// bootGuest is bootVM with a guest kernel of a series.
func bootGuest(t *testing.T, series string, flags ...string) *machine {
	t.Helper()
	t.Cleanup(func() { wasRefusedNothing(t) }) // after its end
	top, err := lab.FindTop()
	if err != nil {
		t.Fatal(err)
	}
	guest := filepath.Join(top, "build", "guest", series)
	m := &machine{t: t}
	args := append([]string{"boot", "--name", vmName, "-k", filepath.Join(guest, "vmlinuz"), "-i", filepath.Join(guest, "initrd.cpio"),
		"-p", "console=ttyS0 panic=-1 quiet mitigations=off cryptomgr.notests random.trust_cpu=on",
		"-m", "512M", "--console", "none"}, flags...)
	m.cmd = exec.Command(filepath.Join(top, "build", "bin", "virtbinder"), args...)
	m.cmd.Stdout, m.cmd.Stderr = &m.log, &m.log
	if err := m.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = m.cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		signalled := m.cmd.Process.Signal(syscall.SIGTERM) == nil
		<-ended
		if code := m.cmd.ProcessState.ExitCode(); signalled && code != 6 {
			t.Errorf("SIGTERM ends the process with %d, not 6", code)
		}
		if log := m.log.String(); !strings.Contains(log, "jailed") || strings.Contains(log, "landlock=0 ") {
			t.Error("the machine was not jailed, or only in part")
		}
		if t.Failed() {
			t.Logf("virtbinder boot said:\n%s", &m.log)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	go func() {
		select {
		case <-ended:
			cancel()
		case <-ctx.Done():
		}
	}()
	if m.agent, err = agentclient.Wait(ctx, filepath.Join(rundir.VM(vmName), rundir.VsockSocket)); err != nil {
		t.Fatalf("the guest does not come up: %v", err)
	}
	return m
}

// status is the machine's runtime file.
func (m *machine) status() netlink.Status {
	m.t.Helper()
	st, err := netlink.ReadStatus(filepath.Join(rundir.VM(vmName), rundir.NetlinkFile))
	if err != nil {
		m.t.Fatal(err)
	}
	return st
}

// isJailed looks at each thread of the machine's process: nothing is in any of its
// capability sets, and nothing can come back; what it sends from here on it sends
// without privilege. A filter of system calls is on it, on a vCPU's one more.
func (m *machine) isJailed() {
	m.t.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", m.cmd.Process.Pid))
	if err != nil || len(tasks) < 2 {
		m.t.Fatalf("threads of the machine: %v, %v", tasks, err)
	}
	for _, path := range tasks {
		b, err := os.ReadFile(path)
		if err != nil {
			m.t.Fatal(err)
		}
		for _, want := range []string{"CapInh:\t0000000000000000\n", "CapPrm:\t0000000000000000\n", "CapEff:\t0000000000000000\n",
			"CapAmb:\t0000000000000000\n", "NoNewPrivs:\t1\n", "Seccomp:\t2\n", filters(b)} {
			if !bytes.Contains(b, []byte(want)) {
				m.t.Errorf("%s does not say %q:\n%s", path, want, b)
			}
		}
	}
}

// filters is what a thread's status says of how many filters it has. What KVM starts
// at a vCPU's first entry has those of that thread.
func filters(status []byte) string {
	n := 1
	if bytes.HasPrefix(status, []byte("Name:\tvcpu")) || bytes.HasPrefix(status, []byte("Name:\tkvm-")) {
		n = 2
	}
	return fmt.Sprintf("Seccomp_filters:\t%d\n", n)
}

// wasRefusedNothing looks into the kernel's log: in all that the machine did so far
// there was no system call that its jail does not allow.
func wasRefusedNothing(t *testing.T) {
	t.Helper()
	log := make([]byte, 1<<20)
	n, err := unix.Klogctl(unix.SYSLOG_ACTION_READ_ALL, log)
	if err != nil || !bytes.Contains(log[:n], []byte("audit: initializing")) {
		t.Fatalf("the kernel's log would not say: %v", err)
	}
	for line := range bytes.Lines(log[:n]) {
		if bytes.Contains(line, []byte("type=1326")) { // AUDIT_SECCOMP
			t.Errorf("a system call was refused: %s", line)
		}
	}
}

// runner puts a program into the guest and runs it there.
func (m *machine) runner(program string, args ...string) func(context.Context) ([]byte, error) {
	return func(ctx context.Context) ([]byte, error) {
		f, err := os.Open(program)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		var out, errs bytes.Buffer
		exit, err := m.agent.Exec(ctx, agentclient.Cmd{Path: "/bin/sh",
			Args:  append([]string{"-c", `cat >/tmp/program && chmod 755 /tmp/program && exec /tmp/program "$@"`, "sh"}, args...),
			Stdin: f, Stdout: &out, Stderr: &errs})
		if err == nil && exit != 0 {
			err = fmt.Errorf("exit code %d: %s", exit, &errs)
		}
		return out.Bytes(), err
	}
}
