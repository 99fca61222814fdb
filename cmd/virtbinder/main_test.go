// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"virtbinder/internal/control/controltest"
	"virtbinder/internal/docs"
	"virtbinder/internal/rundir"
)

// asProgram has this test binary be the program.
const asProgram = "VIRTBINDER_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	os.Exit(m.Run())
}

// shell runs a script in which virtbinder is this program.
func shell(t *testing.T, script string) (string, error) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	if err := os.Symlink(self, filepath.Join(bin, "virtbinder")); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-ec", script)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), asProgram+"=1", "PATH="+bin+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestDocumentedCommands runs what docs/control.md shows, on a machine that pretends:
// its guest's files and processes are this host's.
func TestDocumentedCommands(t *testing.T) {
	examples, err := docs.Blocks("control.md", "sh")
	if err != nil || len(examples) == 0 {
		t.Fatalf("%d examples, %v", len(examples), err)
	}
	t.Setenv("VIRTBINDER_RUNTIME_DIR", t.TempDir())
	m := controltest.Start(t, "android")
	controltest.ServeAgent(t, m.Dir, func(action string) error {
		m.End(action, 0)
		return nil
	})
	for _, log := range []string{rundir.ConsoleLog, rundir.VMMLog} {
		if err := os.WriteFile(filepath.Join(m.Dir, log), []byte("a line\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	guestTmp := t.TempDir() + "/"
	for _, b := range examples {
		script := ""
		for line := range strings.Lines(b.Text) {
			if strings.HasPrefix(line, "virtbinder exec") && os.Getuid() != 0 {
				continue // the agent, which is root in a guest, cannot become that here
			}
			script += strings.ReplaceAll(line, "android:/tmp/", "android:"+guestTmp)
		}
		out, err := shell(t, script)
		if err != nil {
			t.Fatalf("docs/control.md:%d: %v\n%s", b.Line, err, out)
		}
		for _, want := range []string{"android   running", "android: paused", `"state": "running"`, "a line", "android: poweroff", "android   ended"} {
			if !strings.Contains(out, want) {
				t.Errorf("docs/control.md:%d: %q was not printed:\n%s", b.Line, want, out)
			}
		}
	}
}

// TestExitCodes: what a shell gets from commands that fail.
func TestExitCodes(t *testing.T) {
	t.Setenv("VIRTBINDER_RUNTIME_DIR", t.TempDir())
	for script, want := range map[string]string{
		"virtbinder boot --nonsense":                     "code 80",
		"virtbinder boot -k /nonexistent --console none": "code 1",
		"virtbinder boot -k x -m 3M":                     "code 1",
		"virtbinder --log-level loud list":               "code 80",
		"virtbinder stop":                                "code 1",
		"virtbinder exec none -- true":                   "code 125",
		"virtbinder list":                                "code 0",
		"virtbinder boot --dry-run -k x >d.yaml; virtbinder boot --dry-run --config d.yaml": "code 0",
	} {
		out, err := shell(t, "("+script+") 2>&1 || { echo code $?; exit; }; echo code 0")
		if err != nil || !strings.HasSuffix(out, want+"\n") {
			t.Errorf("%s: want %s: %v\n%s", script, want, err, out)
		}
	}
}

// TestHelp: every command that does something to a machine shows examples of itself.
func TestHelp(t *testing.T) {
	p, err := kong.New(&cli{})
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range p.Model.Children {
		switch command.Name {
		case "doctor", "demo", "lab", "version":
		default:
			if !strings.Contains(command.Detail, "virtbinder "+command.Name) {
				t.Errorf("virtbinder %s --help has no example", command.Name)
			}
		}
	}
}
