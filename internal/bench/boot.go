// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"virtbinder/internal/jsonfile"
	"virtbinder/internal/lab"
)

// Boot times: the same kernel and the same init under three VMMs in turn, from the
// start of the VMM's program to the init's first words on the serial port.

const (
	bootRounds = 5
	bootReach  = "init was reached"
	// bootTime bounds one boot; on a loaded machine a slow one is no failure.
	bootTime = 5 * time.Minute
	// bootKernel is the lab's host: KVM of older kernels does not tell a VMM that asks
	// for what it supports of the TSC-deadline timer, without which gokvm's guest hangs.
	bootKernel = "7.x"
	bootGuest  = "6.12"

	bootCommon = "console=ttyS0 quiet panic=-1 mitigations=off cryptomgr.notests random.trust_cpu=on"
)

// vmms are measured in this order, in each round; ours is the first.
var vmms = []struct {
	name string
	args func(top string, f bootFiles) []string
}{
	{"virtbinder", func(top string, f bootFiles) []string {
		return []string{filepath.Join(top, "build", "bin", "virtbinder"), "boot", "--reports", "off", "-k", f.kernel, "-i", f.initrd, "-m", "512M", "-p", bootCommon}
	}},
	{"gokvm", func(top string, f bootFiles) []string {
		return []string{filepath.Join(top, "build", "bench", "gokvm"), "boot", "-k", f.kernel, "-i", f.initrd, "-m", "512M", "-p", bootCommon +
			" noapic acpi=off pci=realloc=off virtio_pci.force_legacy=1"}
	}},
	{"QEMU microvm", func(top string, f bootFiles) []string {
		microvm := filepath.Join(top, "build", "images", "microvm")
		return []string{filepath.Join(microvm, "qemu-system-x86_64"), "-M", "microvm,acpi=off,x-option-roms=off,rtc=off", "-bios", filepath.Join(microvm, "qboot.rom"),
			"-accel", "kvm", "-cpu", "host", "-m", "512", "-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio",
			"-kernel", f.kernel, "-initrd", f.initrd, "-append", bootCommon}
	}},
}

type bootFiles struct{ kernel, initrd string }

// bootTimes are the times of each VMM's boots in nanoseconds.
type bootTimes map[string][]float64

// boots measures on this machine if it has KVM, else in a nested lab.
func boots(ctx context.Context, top, dir string) ([]Figure, error) {
	c := BootCmd{Out: filepath.Join(dir, "boot")}
	if err := os.MkdirAll(c.Out, 0o755); err != nil {
		return nil, err
	}
	var err error
	if lab.Usable().Direct {
		err = c.measure(ctx, top)
	} else {
		err = c.inLab(ctx, top)
	}
	if err != nil {
		return nil, fmt.Errorf("%w; logs are in %s", err, c.Out)
	}
	var times bootTimes
	if err := jsonfile.Read(c.result(), &times); err != nil {
		return nil, err
	}
	return bootFigures(times), nil
}

// bootFigures compares ours with the faster of the others.
func bootFigures(times bootTimes) []Figure {
	var all []Figure
	fastest := 1
	for i, v := range vmms {
		all = append(all, Figure{Section: "boot", Name: v.name, Value: median(times[v.name]) / float64(time.Millisecond), Unit: "ms", Command: "make bench-boot"})
		if i > 0 && all[i].Value < all[fastest].Value {
			fastest = i
		}
	}
	all[0].Against, all[0].Ratio, all[0].Target = vmms[fastest].name, all[0].Value/all[fastest].Value, atMost(1)
	return all
}

// BootCmd is the part on the host of the guests.
type BootCmd struct {
	Out string `type:"path" help:"Where times and logs go."`
}

func (c *BootCmd) result() string { return filepath.Join(c.Out, "times.json") }

func (c *BootCmd) inLab(ctx context.Context, top string) error {
	return runInLab(ctx, lab.Config{Top: top, Kernel: bootKernel,
		Args: []string{filepath.Join(top, "build", "bench", "bench"), "boot", "--out", c.Out}})
}

// Run measures here.
func (c *BootCmd) Run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	top, err := lab.FindTop()
	if err != nil {
		return err
	}
	return c.measure(ctx, top)
}

func (c *BootCmd) measure(ctx context.Context, top string) error {
	f := bootFiles{filepath.Join(top, "build", "guest", bootGuest, "vmlinuz"), filepath.Join(top, "build", "bench", "boot.cpio")}
	times := bootTimes{}
	for round := range bootRounds {
		for i := range vmms {
			v := &vmms[(round+i)%len(vmms)] // none is always the first
			took, err := c.boot(ctx, v.name, v.args(top, f))
			if err != nil {
				return fmt.Errorf("%s: %w", v.name, err)
			}
			fmt.Printf("%s: %v\n", v.name, took.Round(time.Millisecond))
			times[v.name] = append(times[v.name], float64(took))
		}
	}
	return jsonfile.Write(c.result(), times)
}

// boot runs one VMM until its guest's init speaks.
func (c *BootCmd) boot(ctx context.Context, name string, args []string) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, bootTime)
	defer cancel()
	log, err := os.Create(filepath.Join(c.Out, name+".log"))
	if err != nil {
		return 0, err
	}
	defer log.Close()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stderr = log
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	begun := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	err = errors.New("it ended before the guest's init was reached")
	var took time.Duration
	for lines := bufio.NewScanner(out); lines.Scan(); {
		took = time.Since(begun)
		fmt.Fprintf(log, "%s\n", lines.Bytes())
		if bytes.Contains(lines.Bytes(), []byte(bootReach)) {
			err = nil
			break
		}
	}
	cancel() // kills it
	_ = cmd.Wait()
	return took, err
}
