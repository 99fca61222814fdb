// SPDX-License-Identifier: Apache-2.0

package server

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// asInit marks a process of this test binary that plays PID 1.
const asInit = "VIRTBINDER_TEST_AS_INIT"

func TestMain(m *testing.M) {
	if os.Getenv(asInit) != "" {
		playInit()
		return
	}
	os.Exit(m.Run())
}

// playInit adopts orphans, as PID 1 does, and prints what became of its children.
func playInit() {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		fmt.Println(err)
		return
	}
	r := NewReaper(true)
	attr := &os.ProcAttr{Env: []string{"PATH=/usr/bin:/bin"}, Files: []*os.File{nil, nil, nil}}
	for want := range 20 {
		// The shell's child outlives it and becomes ours.
		script := fmt.Sprintf("sleep 0.0%d & exit %d", want, want)
		_, status, err := r.Start("/bin/sh", []string{"sh", "-c", script}, attr)
		if err != nil {
			fmt.Println(err)
			return
		}
		if s := <-status; s.ExitStatus() != want {
			fmt.Printf("status %d, want %d\n", s.ExitStatus(), want)
		}
	}
	for childrenLeft() {
		time.Sleep(time.Millisecond)
	}
	fmt.Println("all reaped")
}

// childrenLeft reports whether this process has children, zombies included.
func childrenLeft() bool {
	err := unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	return err != unix.ECHILD
}

func TestReaperAsInit(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), asInit+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "all reaped" {
		t.Errorf("%v:\n%s", err, out)
	}
}

func TestReaperSignalsOnlyTheLiving(t *testing.T) {
	r := NewReaper(false)
	if err := r.Signal(os.Getpid(), unix.SIGKILL); err != unix.ESRCH {
		t.Fatal(err)
	}
}
