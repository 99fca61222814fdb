// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestUsable(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	intel := write("intel", "processor\t: 0\nflags\t\t: fpu vmx sse\nvmx flags\t: vnmi\n")
	amd := write("amd", "flags\t\t: fpu svm\n")
	none := write("none", "flags\t\t: fpu svmx xvmx hypervisor\n")
	kvm, absent := write("kvm", ""), filepath.Join(dir, "absent")
	for _, c := range []struct {
		name, cpuinfo, kvm string
		direct             bool
		says               string
	}{
		{"intel", intel, kvm, true, "vmx"},
		{"amd", amd, kvm, true, "svm"},
		{"software KVM is not trusted", none, kvm, false, "not backed by hardware"},
		{"nothing", none, absent, false, "no hardware virtualization"},
		{"module not loaded", amd, absent, false, "no " + absent},
		{"no cpuinfo", absent, kvm, false, "cannot be read"},
	} {
		t.Run(c.name, func(t *testing.T) {
			u := usable(c.cpuinfo, c.kvm)
			if u.Direct != c.direct || !strings.Contains(u.Reason, c.says) {
				t.Errorf("usable = %+v, want direct %v and a reason with %q", u, c.direct, c.says)
			}
		})
	}
}
