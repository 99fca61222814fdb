// SPDX-License-Identifier: Apache-2.0

package manage

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/alecthomas/kong"

	"virtbinder/internal/control/controltest"
	"virtbinder/internal/rundir"
	"virtbinder/vmm/api"
)

// commands are the commands as main has them.
type commands struct {
	List    ListCmd    `cmd:""`
	Console ConsoleCmd `cmd:""`
	Logs    LogsCmd    `cmd:""`
	Events  EventsCmd  `cmd:""`
	Pause   PauseCmd   `cmd:""`
	Resume  ResumeCmd  `cmd:""`
	Stop    StopCmd    `cmd:""`
}

// run runs a command line and returns what it prints.
func run(t *testing.T, stdin io.Reader, line string) (string, error) {
	t.Helper()
	var c commands
	var out bytes.Buffer
	parser, err := kong.New(&c)
	if err != nil {
		t.Fatal(err)
	}
	k, err := parser.Parse(strings.Fields(line))
	if err != nil {
		t.Fatal(err)
	}
	c.Console.Stdin = stdin
	for _, w := range []*io.Writer{&c.List.Stdout, &c.Console.Stdout, &c.Logs.Stdout, &c.Events.Stdout, &c.Pause.Stdout, &c.Resume.Stdout, &c.Stop.Stdout} {
		*w = &out
	}
	err = k.Run()
	return out.String(), err
}

// want runs a command line that has to print something.
func want(t *testing.T, line, pattern string) {
	t.Helper()
	out, err := run(t, strings.NewReader(""), line)
	if err != nil || !regexp.MustCompile(`(?s)\A`+pattern+`\z`).MatchString(out) {
		t.Errorf("%s prints %q, %v; want %q", line, out, err, pattern)
	}
}

// wantErr runs a command line that has to fail.
func wantErr(t *testing.T, line, text string) {
	t.Helper()
	if out, err := run(t, strings.NewReader(""), line); err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("%s: %v, want %q; it prints %q", line, err, text, out)
	}
}

func TestListed(t *testing.T) {
	t.Setenv("VIRTBINDER_RUNTIME_DIR", t.TempDir())
	want(t, "list", "NAME +STATE +PID +CPUS +MEMORY +UP\n")
	want(t, "list --json", `\[\]`+"\n")
	controltest.Start(t, "a")
	for name, pid := range map[string]string{"ended": "", "killed": "99\n"} {
		dir, err := rundir.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if pid != "" {
			err = os.WriteFile(filepath.Join(dir, rundir.PIDFile), []byte(pid), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	want(t, "list", `NAME[^\n]*\na +running +\d+ +1 +1024 MiB +0s\nkilled +stale +99 +- +- +-\n`)
	want(t, "list --all", `NAME.*\nended +ended +- .*\nkilled .*`)
	out, err := run(t, nil, "list --json")
	var list []entry
	if err != nil || json.Unmarshal([]byte(out), &list) != nil || len(list) != 2 || list[0].VM.State != api.Running || list[1].State != "stale" {
		t.Errorf("%s, %v", out, err)
	}
}

func TestChanges(t *testing.T) {
	t.Setenv("VIRTBINDER_RUNTIME_DIR", t.TempDir())
	controltest.Start(t, "a")
	want(t, "pause", "a: paused\n")
	wantErr(t, "stop a", "paused")
	want(t, "list", `.*\na +paused .*`)
	out, err := run(t, nil, "resume a --json")
	var vm api.VM
	if err != nil || json.Unmarshal([]byte(out), &vm) != nil || vm.State != api.Running {
		t.Errorf("%s, %v", out, err)
	}
	wantErr(t, "pause b", `VM "b" does not run`)
	want(t, "stop a", "a: poweroff\n")
	want(t, "list", "NAME[^\n]*\n")
}

// TestStop goes through the ways to end a VM.
func TestStop(t *testing.T) {
	t.Setenv("VIRTBINDER_RUNTIME_DIR", t.TempDir())
	deaf := controltest.Start(t, "deaf")
	deaf.IgnoresStop = true
	wantErr(t, "stop deaf --timeout 10ms", "still runs after 10ms")
	want(t, "stop deaf --timeout 10ms --force", "deaf: stopped\n")

	paused := controltest.Start(t, "paused")
	if err := paused.Pause(t.Context()); err != nil {
		t.Fatal(err)
	}
	want(t, "stop paused --force", "paused: stopped\n")

	controltest.Start(t, "now")
	out, err := run(t, nil, "stop now --timeout 0s --force --json")
	var e api.Event
	if err != nil || json.Unmarshal([]byte(out), &e) != nil || e.Kind != api.EventEnded || e.Code != 6 {
		t.Errorf("%s, %v", out, err)
	}

	asked := controltest.Start(t, "asked") // its agent, which answers, and not its button
	asked.IgnoresStop = true
	controltest.ServeAgent(t, asked.Dir, func(action string) error {
		asked.End(action, 0)
		return nil
	})
	want(t, "stop asked", "asked: poweroff\n")
}

func TestEvents(t *testing.T) {
	t.Setenv("VIRTBINDER_RUNTIME_DIR", t.TempDir())
	m := controltest.Start(t, "a")
	if err := m.Pause(t.Context()); err != nil {
		t.Fatal(err)
	}
	text, lines := newOutput(), newOutput()
	ended := make(chan error)
	go func() {
		c := EventsCmd{target: target{Name: "a", Stdout: text}}
		ended <- c.Run()
	}()
	go func() {
		c := EventsCmd{target: target{Name: "a", Stdout: lines}, Failures: true, JSON: true}
		ended <- c.Run()
	}()
	<-text.begun
	<-lines.begun
	m.End("panic", 4)
	if err := errors.Join(<-ended, <-ended); err != nil {
		t.Error(err)
	}
	if s := lines.String(); strings.Count(s, "\n") != 3 || !strings.Contains(s, `"kind":"ended","exit":"panic","code":4`) {
		t.Errorf("%s", s)
	}
	if s := text.String(); !regexp.MustCompile(`(?s)\A\S+ \S+ a started\n.* a paused\n.* a ended panic \(exit code 4\) \n\z`).MatchString(s) {
		t.Errorf("%s", s)
	}
}

// output says when something was printed.
type output struct {
	text  bytes.Buffer
	once  sync.Once
	begun chan struct{}
}

func newOutput() *output { return &output{begun: make(chan struct{})} }

func (o *output) Write(p []byte) (int, error) {
	o.once.Do(func() { close(o.begun) })
	return o.text.Write(p)
}

func (o *output) String() string { return o.text.String() }

func TestLogs(t *testing.T) {
	t.Setenv("VIRTBINDER_RUNTIME_DIR", t.TempDir())
	m := controltest.Start(t, "a")
	files := map[string]string{rundir.ConsoleLog: "Linux\r\nlogin: ", rundir.VMMLog: "level=INFO\n", rundir.HVCLog(1): "hvc\n"}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(m.Dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want(t, "logs a", "Linux\r\nlogin: ")
	want(t, "logs a --vmm", "level=INFO\n")
	want(t, "logs a --hvc 1", "hvc\n")
	want(t, "logs a --json", `{"vm":"a","log":"console.log","line":"Linux\\r"}\n{"vm":"a","log":"console.log","line":"login: "}\n`)
	wantErr(t, "logs a --hvc 0", "VM a has no hvc0.log")
	wantErr(t, "logs a --hvc=-1", "the first is 0")
	wantErr(t, "logs a --hvc 1 --vmm", "give one of them")
	wantErr(t, "logs b", `no logs of a VM "b"`)
	wantErr(t, "logs ../a", "begins with")

	followed := make(chan string)
	go func() {
		out, err := run(t, nil, "logs a -f")
		if err != nil {
			t.Error(err)
		}
		followed <- out
	}()
	f, err := os.OpenFile(filepath.Join(m.Dir, rundir.ConsoleLog), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("root\r\n"); err != nil {
		t.Fatal(err)
	}
	f.Close()
	m.End("poweroff", 0)
	if out := <-followed; out != "Linux\r\nlogin: root\r\n" {
		t.Errorf("followed to %q", out)
	}
}

// typist types once begin is closed, and waits at its end as a terminal does.
type typist struct {
	begin chan struct{}
	text  io.Reader
	end   chan struct{}
}

func (ty *typist) Read(p []byte) (int, error) {
	<-ty.begin
	n, err := ty.text.Read(p)
	if errors.Is(err, io.EOF) {
		<-ty.end
	}
	return n, err
}

func TestConsole(t *testing.T) {
	t.Setenv("VIRTBINDER_RUNTIME_DIR", t.TempDir())
	m := controltest.Start(t, "a")
	io.WriteString(m.Hub, "login: ")
	wantErr(t, "console a 1", "there is none")
	typed := make(chan string)
	go func() {
		b := make([]byte, 5)
		_, err := io.ReadFull(m.Hub, b)
		if err != nil {
			t.Error(err)
		}
		typed <- string(b)
	}()
	seen := newOutput()
	c := ConsoleCmd{target: target{Name: "a", Stdout: seen}, Stdin: &typist{begin: seen.begun, text: strings.NewReader("root\n\x1dnot this")}}
	if err := c.Run(); err != nil {
		t.Error(err)
	}
	if text := <-typed; text != "root\n" {
		t.Errorf("the guest got %q", text)
	}
	waits := &typist{make(chan struct{}), strings.NewReader(""), make(chan struct{})}
	defer close(waits.begin)
	defer close(waits.end)
	out, ended := newOutput(), make(chan error)
	go func() {
		c := ConsoleCmd{target: target{Name: "a", Stdout: out}, Stdin: waits}
		ended <- c.Run()
	}()
	<-out.begun
	m.End("poweroff", 0)
	if err := <-ended; err != nil || out.String() != "login: " {
		t.Errorf("printed %q, %v", out, err)
	}
}
