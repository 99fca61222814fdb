// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSize(t *testing.T) {
	for s, want := range map[string]Size{
		"1G": 1 << 30, "512M": 512 << 20, "512m": 512 << 20, "2GiB": 2 << 30, "64MB": 64 << 20, "1024": 1 << 30, "1T": 1 << 40, "4096K": 4 << 20, "77B": 77,
	} {
		if got, err := ParseSize(s); err != nil || got != want {
			t.Errorf("%q is %d, %v; want %d", s, got, err, want)
		}
		if again, err := ParseSize(want.String()); err != nil || again != want {
			t.Errorf("%d writes itself %q, which is %d, %v", want, want, again, err)
		}
	}
	for _, s := range []string{"", "G", "1X", "-1G", "1.5G", "1GG", "99999999999T", "1iB", "1 G"} {
		if got, err := ParseSize(s); err == nil {
			t.Errorf("%q was taken as %d", s, got)
		}
	}
}

// full has every field, none at its default.
const full = `vms:
  - name: one
    kernel: vmlinuz
    initrd: initrd.cpio
    cmdline: console=hvc0
    memory: 2G
    cpus: 4
    affinity: [[0, 1], [2]]
    disks:
      - path: root.img
        readonly: true
        direct: true
      - path: /dev/vdb
    net:
      - tap: tap0
        mac: 52:54:00:12:34:56
      - tap_fd: 7
      - user:
          forwards:
            - host: 127.0.0.1:8080
              guest: 80
            - proto: udp
              host: "[::1]:5353"
              guest: 53
    consoles:
      - type: serial
        to: file
        path: serial.log
      - type: hvc
        to: unix
        path: hvc.sock
      - type: hvc
        to: pty
    entropy: false
    vsock:
      enabled: false
    binder:
      doorbell: worker
      window: 1G
      committed: 512M
    netlink:
      reports: usersock
      plain_contexts: true
    timeouts:
      stop: 5s
      panic: 1m30s
  - name: two
    android:
      boot: boot.img
      vendor_boot: vendor_boot.img
    consoles: [{type: serial, to: stdio}]
core:
  label: u:r:other:s0
  limits:
    processes: 16
    window: 1M
log:
  level: warn
  levels:
    vmm: debug
  format: json
  file: vmm.log
sandbox: false
`

// TestRoundTrip: what --dry-run prints is the same configuration.
func TestRoundTrip(t *testing.T) {
	for name, text := range map[string]string{"full": full, "least": "vms: [{kernel: k}]"} {
		c, _, err := Parse(name, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Resolve(); err != nil {
			t.Fatal(err)
		}
		printed, err := c.YAML()
		if err != nil {
			t.Fatal(err)
		}
		again, _, err := Parse("printed", printed)
		if err != nil {
			t.Fatalf("%v\n%s", err, printed)
		}
		if d := cmp.Diff(c, again); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func TestFull(t *testing.T) {
	c, _, err := Parse("full", []byte(full))
	if err != nil {
		t.Fatal(err)
	}
	one, two := c.VMs[0], c.VMs[1]
	if one.Memory != 2<<30 || one.CPUs != 4 || one.Entropy || one.Vsock.Enabled || !one.Disks[0].Direct || one.Disks[1].ReadOnly || *one.Net[1].TapFD != 7 ||
		one.Net[2].User.Forwards[0].Proto != "tcp" || one.Affinity[0][1] != 1 || one.Binder.Committed != 512<<20 {
		t.Errorf("%+v", one)
	}
	if two.Memory != 1<<30 || !two.Entropy || two.Android.VendorBoot != "vendor_boot.img" || two.Vsock.CID != 3 {
		t.Errorf("%+v", two)
	}
	if c.Core.Limits.Processes != 16 || c.Core.Limits.Threads != defaultLimits().Threads || c.Sandbox || c.Log.Levels["vmm"].String() != "debug" {
		t.Errorf("%+v", c)
	}
}

// TestErrors: each names the line and the field, and says what would do.
func TestErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                               "vms: there is none",
		"vms:\n- name: a\n  kernal: x\n": `f.yaml:3: vms[0].kernal: there is no field "kernal"; there are affinity, android, binder, cmdline, consoles`,
		"vms:\n- kernel: k\n  disks:\n  - path: x\n    ro: true\n": `f.yaml:5: vms[0].disks[0].ro: there is no field "ro"; there are direct, path, readonly`,
		"vm: {}":                                     `f.yaml:1: vm: there is no field "vm"; there are core, log, sandbox, vms`,
		"vms:\n- kernel: k\n  memory: much\n":        `f.yaml:3: vms[0].memory: "much": want a number and a unit`,
		"vms:\n- kernel: k\n  memory: [1]\n":         "f.yaml:3: vms[0].memory: want one value",
		"vms:\n- kernel: k\n  cpus: many\n":          "f.yaml:3: vms[0].cpus: cannot unmarshal string",
		"vms:\n- kernel: k\n  timeouts: {stop: 1}\n": `f.yaml:3: vms[0].timeouts.stop: "1": want a number and a unit`,
		"vms: 3":                         "f.yaml:1: vms: int was used where sequence is expected",
		"vms:\n- name: a\n  name: b\n":   `f.yaml:3: mapping key "name" already defined`,
		"vms:\n- &x {kernel: k}\n- *x\n": "f.yaml:2: vms[0]: anchors",
		"a: 1\n---\nb: 2\n":              "a second document",
		"log: {level: loud}":             `f.yaml:1: log.level: "loud": want debug, info, warn or error`,
		"vms:\n- kernel: k\nlog:\n  levels:\n    wmm: info\n": "f.yaml:5: log.levels.wmm: there is no such component; there are api,",
		"vms:\n- kernel: k\nlog: {format: xml}\n":             `f.yaml:3: log.format: "xml": want text, json`,
		"vms:\n-\n":                                                                             "f.yaml:2: vms[0].kernel: no kernel is given",
		"vms:\n- kernel: k\n  name: ../x\n":                                                     "f.yaml:3: vms[0].name: VM name",
		"vms:\n- kernel: k\n- kernel: k\n":                                                      `f.yaml:3: vms[1].name: "vm" is the name of vms[0] too`,
		"vms:\n- kernel: k\n  android: {boot: b}\n":                                             "f.yaml:2: vms[0].kernel: given together with android.boot",
		"vms:\n- kernel: k\n  memory: 3M\n":                                                     "vms[0].memory: 3M: from 64M to 1T",
		"vms:\n- kernel: k\n  memory: 65537K\n":                                                 "vms[0].memory: 65537K: give a multiple of 2M",
		"vms:\n- kernel: k\n  cpus: 0\n":                                                        "vms[0].cpus: 0: from 1 to 254",
		"vms:\n- kernel: k\n  affinity: [[0],[1]]\n":                                            "vms[0].affinity: 2 lists for 1 vCPUs",
		"vms:\n- kernel: k\n  affinity: [[-1]]\n":                                               "vms[0].affinity[0]: -1 is no number of a host CPU",
		"vms:\n- kernel: k\n  vsock: {cid: 2}\n":                                                "vms[0].vsock.cid: 2: a guest's",
		"vms:\n- kernel: k\n  disks:\n  - direct: true\n":                                       "f.yaml:4: vms[0].disks[0].path: is missing",
		"vms:\n- kernel: k\n  net:\n  - {tap: a, tap_fd: 3}\n":                                  "vms[0].net[0]: 2 of tap, tap_fd and user",
		"vms:\n- kernel: k\n  net:\n  - {tap: a, mac: \"01:00:00:00:00:00\"}\n":                 "vms[0].net[0].mac:",
		"vms:\n- kernel: k\n  net:\n  - {tap_fd: 1}\n":                                          "vms[0].net[0].tap_fd: 1: give a file descriptor from 3",
		"vms:\n- kernel: k\n  net:\n  - user: {forwards: [{host: 'x:1', guest: 1}]}\n":          `vms[0].net[0].user.forwards[0].host: "x:1"`,
		"vms:\n- kernel: k\n  net:\n  - user: {forwards: [{host: '[::1]:1'}]}\n":                "vms[0].net[0].user.forwards[0].guest: give a port",
		"vms:\n- kernel: k\n  consoles: [{type: serial, to: file}]\n":                           "vms[0].consoles[0].path: is missing",
		"vms:\n- kernel: k\n  consoles: [{type: tty, to: none}]\n":                              `vms[0].consoles[0].type: "tty": want serial, hvc`,
		"vms:\n- kernel: k\n  consoles: [{type: hvc, to: none, path: x}]\n":                     "vms[0].consoles[0].path: none leads to no path",
		"vms:\n- kernel: k\n  consoles: [{type: serial, to: none}, {type: serial, to: none}]\n": "vms[0].consoles[1].type: a second serial console",
		"vms:\n- {kernel: k, name: a, consoles: [{type: hvc, to: stdio}]}\n- {kernel: k, consoles: [{type: hvc, to: stdio}]}\n": "vms[1].consoles[0].to: a second console leads to stdio",
		"vms:\n- kernel: k\n  binder: {doorbell: bell}\n":                                                                       `vms[0].binder.doorbell: "bell": want inline, worker`,
		"vms:\n- kernel: k\n  binder: {window: 1M}\n":                                                                           "vms[0].binder.window: 1M: from 4M to 1T",
		"vms:\n- kernel: k\n  netlink: {reports: loud}\n":                                                                       "vms[0].netlink.reports:",
		"vms:\n- kernel: k\ncore: {limits: {nodes: 0}}\n":                                                                       "f.yaml:3: core.limits.nodes: 0: from 1 to",
		"vms:\n- kernel: \"k\n": "f.yaml:2: ",
	} {
		c, s, err := Parse("f.yaml", []byte(text))
		if err == nil {
			err = s.Locate(c.Resolve())
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q\n\tgives %v\n\twant  %s", text, err, want)
		}
		if len(Fields(err)) == 0 {
			t.Errorf("%q gives an error without a place: %v", text, err)
		}
	}
}

func TestLoad(t *testing.T) {
	if _, _, err := Load(filepath.Join(t.TempDir(), "absent.yaml")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	large := filepath.Join(t.TempDir(), "large.yaml")
	if err := os.WriteFile(large, make([]byte, maxFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Load(large); err == nil || !strings.Contains(err.Error(), large+": larger than") {
		t.Error(err)
	}
}

// FuzzParse reads any text. Checked: no panic; an error has a place; what is valid
// is still valid, and the same, when printed and read again.
func FuzzParse(f *testing.F) {
	f.Add(full)
	f.Add("vms: [{kernel: k}]")
	f.Add("vms:\n- kernel: k\n  memory: 0x10\n  net: [{user: }]\n")
	f.Add("? vms\n: - !!str k\n")
	f.Add("vms: &a [*a]")
	f.Add("{vms: [,]}")
	f.Fuzz(func(t *testing.T, text string) {
		c, s, err := Parse("f", []byte(text))
		if err == nil {
			err = s.Locate(c.Resolve())
		}
		if err != nil {
			if len(Fields(err)) == 0 {
				t.Fatalf("an error without a place: %v", err)
			}
			return
		}
		printed, err := c.YAML()
		if err != nil {
			t.Fatal(err)
		}
		again, _, err := Parse("printed", printed)
		if err != nil {
			t.Fatalf("%v\n%s", err, printed)
		}
		if d := cmp.Diff(c, again); d != "" {
			t.Fatalf("%s\n%s", d, printed)
		}
	})
}
