// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// Usability says where virtbinder can run its guests.
type Usability struct {
	Direct bool   // on this machine itself; otherwise in the lab
	Reason string // why, as a clause for a sentence
}

// Usable looks at this machine. A /dev/kvm on a processor that shows neither vmx nor svm is software pretending, and
// is not trusted.
func Usable() Usability { return usable("/proc/cpuinfo", "/dev/kvm") }

func usable(cpuinfo, kvm string) Usability {
	flag, err := virtFlag(cpuinfo)
	if err != nil {
		return Usability{Reason: fmt.Sprintf("the processor's flags cannot be read: %v", err)}
	}
	f, err := os.OpenFile(kvm, os.O_RDWR, 0)
	if err == nil {
		f.Close()
	}
	switch {
	case flag == "" && err == nil:
		return Usability{Reason: fmt.Sprintf("%s opens, but /proc/cpuinfo shows neither vmx nor svm: it is not backed by hardware", kvm)}
	case flag == "":
		return Usability{Reason: "/proc/cpuinfo shows neither vmx nor svm: no hardware virtualization here"}
	case errors.Is(err, fs.ErrNotExist):
		return Usability{Reason: fmt.Sprintf("the processor has %s, but there is no %s (is the kvm module loaded?)", flag, kvm)}
	case errors.Is(err, fs.ErrPermission):
		return Usability{Reason: fmt.Sprintf("the processor has %s, but this user may not open %s (add it to the kvm group)", flag, kvm)}
	case err != nil:
		return Usability{Reason: fmt.Sprintf("the processor has %s, but %v", flag, err)}
	}
	return Usability{Direct: true, Reason: fmt.Sprintf("the processor has %s and %s opens", flag, kvm)}
}

// virtFlag returns "vmx", "svm" or nothing.
func virtFlag(cpuinfo string) (string, error) {
	b, err := os.ReadFile(cpuinfo)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(line, ":")
		if strings.TrimSpace(name) != "flags" {
			continue
		}
		for _, flag := range strings.Fields(value) {
			if flag == "vmx" || flag == "svm" {
				return flag, nil
			}
		}
	}
	return "", nil
}
