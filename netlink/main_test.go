// SPDX-License-Identifier: Apache-2.0

package netlink

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

// TestMain runs the tests in a network namespace of their own, so that reports
// of VMs on this machine do not come in between and an ordinary user may
// multicast. It also is the helper process of TestEmitAfterCapabilitiesAreGone,
// and fails the run when goroutines or descriptors are left.
func TestMain(m *testing.M) {
	switch {
	case os.Getenv(helperEnv) != "":
		os.Exit(dropAndEmit())
	case os.Getenv(isolatedEnv) == "" && !fuzzing():
		if code, ok := runIsolated(); ok {
			os.Exit(code)
		}
	}
	before := len(openFiles())
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Println(err)
			code = 1
		}
		if after := openFiles(); len(after) > before+pollerFiles {
			fmt.Printf("descriptors leaked: %v\n", after)
			code = 1
		}
	}
	os.Exit(code)
}

// pollerFiles are the descriptors that Go's poller keeps once it is used: the
// epoll one and the event one.
const pollerFiles = 2

func openFiles() []string {
	entries, _ := os.ReadDir("/proc/self/fd")
	var links []string
	for _, e := range entries {
		if l, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil {
			links = append(links, e.Name()+" "+l)
		}
	}
	return links
}

const isolatedEnv = "VIRTBINDER_NETLINK_TEST_ISOLATED"

// fuzzing tells whether the fuzzer's coordinator or worker runs, which talk over
// descriptors that a process in between would cut.
func fuzzing() bool {
	return slices.ContainsFunc(os.Args, func(a string) bool { return strings.HasPrefix(a, "-test.fuzz") })
}

// runIsolated runs this binary again in a namespace; ok is false where that is
// not allowed.
func runIsolated() (code int, ok bool) {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), isolatedEnv+"=1")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if uid := os.Getuid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	if err := cmd.Start(); err != nil {
		fmt.Println("tests run in the machine's own network namespace:", err)
		return 0, false
	}
	if err := cmd.Wait(); err != nil && !cmd.ProcessState.Exited() {
		fmt.Println(err)
		return 1, true
	}
	return cmd.ProcessState.ExitCode(), true
}
