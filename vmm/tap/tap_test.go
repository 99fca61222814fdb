// SPDX-License-Identifier: Apache-2.0

package tap

import (
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestNotATap(t *testing.T) {
	f, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := FromFD(int(f.Fd())); err == nil || !strings.Contains(err.Error(), "no open tap interface") {
		t.Errorf("a file was taken: %v", err)
	}
	if _, err := Open("a-name-much-too-long"); err == nil {
		t.Error("a name that is too long was taken")
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	for errno, want := range map[error]string{
		unix.EPERM: "ip tuntap add dev tap9", unix.EBUSY: "in use", unix.EINVAL: "no tap interface", unix.ENODEV: "tap9",
	} {
		if got := explain("tap9", errno); !strings.Contains(got.Error(), want) || !strings.Contains(got.Error(), "tap9") || errno == unix.ENODEV && !errors.Is(got, errno) {
			t.Errorf("%v: %v", errno, got)
		}
	}
}
