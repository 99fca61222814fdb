// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"virtbinder/internal/config"
	"virtbinder/internal/console"
	"virtbinder/internal/hardware"
	"virtbinder/virtio/block"
	"virtbinder/virtio/net"
	"virtbinder/virtio/vsock"
)

// TestDeviceMetrics: each device has samples under its own name.
func TestDeviceMetrics(t *testing.T) {
	disk := filepath.Join(t.TempDir(), "disk.raw")
	if err := os.WriteFile(disk, make([]byte, 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	vm := config.DefaultVM()
	vm.Disks = []config.Disk{{Path: disk, ReadOnly: true}, {Path: disk, ReadOnly: true}}
	vm.Net = []config.Net{{User: &config.UserNet{}}}
	vm.Consoles = []config.Console{{Type: config.HVC}, {Type: config.Serial}, {Type: config.HVC}}
	m := &Machine{cfg: vm}
	for range vm.Consoles {
		m.consoles = append(m.consoles, console.NewHub())
	}
	hw, err := hardware.Open(&vm, nil, func(string) *slog.Logger { return slog.New(slog.DiscardHandler) })
	if err != nil {
		t.Fatal(err)
	}
	defer hw.Close()
	io.WriteString(m.consoles[2], "hello")
	table := &table{vm: "x"}
	measureDisks(table, ofType[*block.Device](hw.Devices))
	measureNetworks(table, ofType[*net.Device](hw.Devices))
	measureVsocks(table, ofType[*vsock.Device](hw.Devices))
	m.consoleTraffic(table)
	samples := map[string]int{}
	for _, metric := range table.metrics {
		for _, s := range metric.Samples {
			samples[s.Labels["device"]]++
			printed := s.Labels["device"] == "hvc1" && s.Labels["direction"] == "from_guest"
			if s.Labels["vm"] != "x" || printed != (s.Value == 5) || !printed && s.Value != 0 {
				t.Errorf("%s: %+v", metric.Name, s)
			}
		}
	}
	for device, want := range map[string]int{"disk0": 8, "disk1": 8, "net0": 5, "serial": 2, "hvc0": 2, "hvc1": 2} {
		if samples[device] != want {
			t.Errorf("%s has %d samples, want %d: %v", device, samples[device], want, table.metrics)
		}
	}
}
