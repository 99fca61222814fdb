// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"
	"strings"

	"virtbinder/internal/lab/job"
)

// kernelArgs keep L1's boot short and its timing steady under emulation.
const kernelArgs = "console=ttyS0 panic=-1 quiet mitigations=off tsc=reliable no_timer_check nokaslr i8042.noaux=1 " +
	"i8042.nopnp cryptomgr.notests random.trust_cpu=on rcupdate.rcu_expedited=1 lsm=landlock " +
	"raid=noautodetect nohpet rdinit=/init"

// ports in the order of their file descriptors in QEMU, which begin at firstFD.
var portNames = []string{job.PortControl, job.PortStdin, job.PortStdout, job.PortStderr}

const firstFD = 3

// qemuArgs is QEMU's command line for an L1.
func qemuArgs(c *Config, im *image, initrd, console string, shares []job.Share) []string {
	args := []string{
		"-M", "pc", "-accel", "tcg,thread=multi", "-cpu", "EPYC-Rome,+svm",
		"-smp", fmt.Sprint(c.CPUs), "-m", fmt.Sprint(c.Memory),
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-net", "none",
		"-chardev", "file,id=console,path=" + comma(console), "-serial", "chardev:console",
		"-device", fmt.Sprintf("isa-debug-exit,iobase=%#x,iosize=4", job.ExitPort),
		"-kernel", im.vmlinux, "-initrd", initrd, "-append", kernelArgs,
		"-device", "virtio-serial-pci",
	}
	for i, name := range portNames {
		args = append(args,
			"-chardev", fmt.Sprintf("socket,id=port%d,fd=%d", i, firstFD+i),
			"-device", fmt.Sprintf("virtserialport,chardev=port%d,name=%s", i, name))
	}
	for _, s := range shares {
		fsdev := fmt.Sprintf("local,mount_tag=%s,security_model=none,multidevs=remap,path=%s", s.Tag, comma(s.Path))
		if s.ReadOnly {
			fsdev += ",readonly=on"
		}
		args = append(args, "-virtfs", fsdev)
	}
	return args
}

// comma escapes a value for QEMU's option syntax.
func comma(s string) string { return strings.ReplaceAll(s, ",", ",,") }
