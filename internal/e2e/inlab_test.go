// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"testing"

	"virtbinder/internal/lab"
)

// inLab tells whether this process runs on the lab's host already.
func inLab() bool { return os.Getenv("VIRTBINDER_IN_LAB") != "" }

// onLabHost runs inside on the lab's host, as this same test once more. It is for
// tests of what depends on the host's kernel; those of what does not run on the
// machine itself where it can have guests.
func onLabHost(t *testing.T, kernel string, inside func(*testing.T)) {
	t.Helper()
	if inLab() {
		inside(t)
		return
	}
	top, err := lab.FindTop()
	if err != nil {
		t.Fatal(err)
	}
	self := filepath.Join(top, "build", "e2e", "e2e.test") // the lab sees build, not where `go test` puts us
	copySelf(t, self)
	code, err := lab.Run(t.Context(), lab.Config{Top: top, Kernel: kernel, Dir: filepath.Join(top, "internal", "e2e"),
		Args:   []string{self, "-test.v", "-test.run", "^" + t.Name() + "$"},
		Stdout: os.Stdout, Stderr: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	if code != 0 {
		t.Fatalf("in the lab it ended with exit code %d: see above", code)
	}
}

// copySelf copies the running test program to path.
func copySelf(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "CGO_ENABLED", Value: "1"}) {
		t.Fatal("the lab's host has no C library: run with CGO_ENABLED=0, as `make e2e` does")
	}
	in, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	out, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}

// program is the path of a program that is built from source, for the lab to see.
// It is called outside; inside, it is there.
func program(t *testing.T, name, pkg string) string {
	t.Helper()
	return goBuild(t, name, "build", pkg)
}

// testProgram is program for the tests of a package that have a build tag.
func testProgram(t *testing.T, name, tag, pkg string) string {
	t.Helper()
	return goBuild(t, name+".test", "test", "-c", "-tags", tag, pkg)
}

// goBuild runs a go command that makes build/e2e/NAME; its last argument is the package.
func goBuild(t *testing.T, name, verb string, args ...string) string {
	t.Helper()
	top, err := lab.FindTop()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(top, "build", "e2e", name)
	if inLab() {
		return path
	}
	args = append([]string{verb, "-trimpath", "-ldflags", "-s -w", "-o", path}, args...)
	cmd := exec.Command("go", args...)
	cmd.Dir, cmd.Env = top, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go %v: %v\n%s", args, err, out)
	}
	return path
}
