// SPDX-License-Identifier: Apache-2.0

package exec

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"virtbinder/internal/control/controltest"
	"virtbinder/internal/rundir"
)

// startVM plays a VM: a hybrid socket with an agent behind it.
func startVM(t *testing.T, name string) {
	t.Helper()
	t.Setenv("VIRTBINDER_RUNTIME_DIR", t.TempDir())
	dir, err := rundir.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	controltest.ServeAgent(t, dir, nil)
}

// parse reads a command line as main does, runs it, and returns its exit code.
func run(t *testing.T, stdin string, args ...string) (code int, out, errs string, err error) {
	t.Helper()
	var cli struct {
		Exec Cmd `cmd:""`
	}
	var o, e bytes.Buffer
	parser, err := kong.New(&cli)
	if err != nil {
		t.Fatal(err)
	}
	id := []string{"exec", fmt.Sprintf("--uid=%d", os.Getuid()), fmt.Sprintf("--gid=%d", os.Getgid())}
	k, err := parser.Parse(append(id, args...))
	if err != nil {
		t.Fatal(err)
	}
	cli.Exec.Stdin, cli.Exec.Stdout, cli.Exec.Stderr = strings.NewReader(stdin), &o, &e
	err = k.Run()
	var exit *ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	}
	return code, o.String(), e.String(), err
}

func TestExecPassesEverythingOn(t *testing.T) {
	startVM(t, "vm1")
	for name, c := range map[string]struct {
		args      []string
		in        string
		code      int
		out, errs string
	}{
		"streams":         {args: []string{"vm1", "--", "sh", "-c", "cat; echo err >&2"}, in: "in", out: "in", errs: "err\n"},
		"flags of it":     {args: []string{"vm1", "--", "sh", "-c", `echo "$1"`, "sh", "--uid"}, out: "--uid\n"},
		"without dashes":  {args: []string{"vm1", "sh", "-c", "echo $A"}, out: "\n"},
		"environment":     {args: []string{"--env", "A=b,c", "-e", "D=e", "vm1", "--", "sh", "-c", "echo $A $D"}, out: "b,c e\n"},
		"exit code":       {args: []string{"vm1", "--", "sh", "-c", "exit 42"}, code: 42},
		"signal":          {args: []string{"vm1", "--", "sh", "-c", "kill -TERM $$"}, code: 143},
		"no such program": {args: []string{"vm1", "--", "no-such-program"}, code: 127},
		"a directory":     {args: []string{"vm1", "--", "/etc"}, code: 126},
		"no such VM":      {args: []string{"vm2", "--", "true"}, code: 125},
		"no VM's name":    {args: []string{"../x", "--", "true"}, code: 125},
	} {
		code, out, errs, err := run(t, c.in, c.args...)
		if code != c.code || out != c.out || errs != c.errs {
			t.Errorf("%s: code %d, %q, %q, %v", name, code, out, errs, err)
		}
	}
}

// TestSignalsAreForwarded sends this process the signals that a terminal would.
func TestSignalsAreForwarded(t *testing.T) {
	startVM(t, "vm1")
	cmd := Cmd{Name: "vm1", UID: uint32(os.Getuid()), Dir: "/", Stdin: strings.NewReader(""), Args: []string{
		"sh", "-c", `trap 'echo int; exit 9' INT; echo ready; while :; do sleep 0.01; done`,
	}}
	var out signaller
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	var exit *ExitError
	if !errors.As(err, &exit) || exit.Code != 9 || !exit.Quiet() || out.String() != "ready\nint\n" {
		t.Errorf("%v, %q", err, out.String())
	}
}

// signaller sends SIGINT to this process when the command says that it is ready.
type signaller struct {
	mu sync.Mutex
	bytes.Buffer
}

func (s *signaller) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if strings.Contains(string(p), "ready") {
		syscall.Kill(os.Getpid(), syscall.SIGINT)
	}
	return s.Buffer.Write(p)
}

func TestDetach(t *testing.T) {
	startVM(t, "vm1")
	log := filepath.Join(t.TempDir(), "log")
	code, out, _, err := run(t, "", "--detach", "--log", log, "vm1", "--", "sh", "-c", "echo done")
	var pid int
	if _, scanErr := fmt.Sscan(out, &pid); code != 0 || err != nil || scanErr != nil {
		t.Fatal(code, out, err, scanErr)
	}
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if b, _ := os.ReadFile(log); string(b) == "done\n" {
			return
		}
	}
	t.Error("the log stays empty")
}
