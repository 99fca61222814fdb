// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"virtbinder/vmm/api"
)

// checkMetrics looks at what a machine's devices have counted by now, and for a
// description of each metric.
func checkMetrics(t *testing.T, top string, p *process) {
	t.Helper()
	client, err := api.Find(p.name)
	if err != nil {
		t.Fatal(err)
	}
	counted := metrics(t, client)
	page, err := os.ReadFile(filepath.Join(top, "docs", "control.md"))
	if err != nil {
		t.Fatal(err)
	}
	for name := range counted {
		name, _, _ = strings.Cut(name, " ")
		if !strings.Contains(string(page), "`"+name+"`") && !strings.Contains(string(page), "`"+name+"{") {
			t.Errorf("docs/control.md does not say what %s is", name)
		}
	}
	wantCounted(t, counted,
		"disk_requests_total device=disk0 kind=read", "disk_requests_total device=disk1 kind=write", "disk_requests_total device=disk1 kind=flush",
		"disk_bytes_total device=disk0 direction=to_guest", "disk_bytes_total device=disk1 direction=from_guest",
		"net_frames_total device=net0 direction=to_guest", "net_bytes_total device=net1 direction=from_guest", "net_bytes_total device=net2 direction=to_guest",
		"console_bytes_total device=serial direction=from_guest", "console_bytes_total device=hvc0 direction=to_guest",
		"virtqueue_taken_total device=disk0 queue=0", "virtqueue_interrupts_total device=disk0 queue=0", "virtqueue_depth device=net1 queue=0")
}

// metrics asks for all metrics, by name and labels but for the VM's.
func metrics(t *testing.T, client *api.Client) map[string]float64 {
	t.Helper()
	doc, err := client.Metrics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	counted := map[string]float64{}
	for _, m := range doc.Metrics {
		for _, s := range m.Samples {
			counted[strings.TrimPrefix(m.Name, "virtbinder_")+labels(s)] = s.Value
		}
	}
	return counted
}

// wantCounted looks for metrics that are not zero.
func wantCounted(t *testing.T, counted map[string]float64, names ...string) {
	t.Helper()
	for _, name := range names {
		if counted[name] == 0 {
			t.Errorf("%s is not counted; there are\n%s", name, strings.Join(slices.Sorted(maps.Keys(counted)), "\n"))
		}
	}
}

// labels writes a sample's labels but for the VM's.
func labels(s api.Sample) (text string) {
	for _, name := range slices.Sorted(maps.Keys(s.Labels)) {
		if name != "vm" {
			text += " " + name + "=" + s.Labels[name]
		}
	}
	return text
}
