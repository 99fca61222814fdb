// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"maps"
	"slices"
	"strconv"
	"time"

	"virtbinder/driver"
	"virtbinder/virtio/block"
	"virtbinder/virtio/net"
	"virtbinder/virtio/vsock"
	"virtbinder/vmm/api"
)

// Metrics is all that is measured of the machine.
func (m *Machine) Metrics() []api.Metric {
	t := &table{vm: m.cfg.Name}
	m.processors(t)
	m.virtqueues(t)
	measureDisks(t, ofType[*block.Device](m.devices))
	measureNetworks(t, ofType[*net.Device](m.devices))
	measureVsocks(t, ofType[*vsock.Device](m.devices))
	m.consoleTraffic(t)
	m.failures.measure(t)
	if m.binder != nil {
		m.binderDevice(t)
		m.binderCore(t)
	}
	return t.metrics
}

// table gathers metrics; every sample names the VM.
type table struct {
	vm      string
	metrics []api.Metric
}

// begin begins a metric; add adds a sample to the last one.
func (t *table) begin(name, kind, help string) {
	t.metrics = append(t.metrics, api.Metric{Name: "virtbinder_" + name, Help: help, Type: kind})
}

func (t *table) add(value float64, labels ...string) {
	s := api.Sample{Labels: map[string]string{"vm": t.vm}, Value: value}
	for i := 0; i < len(labels); i += 2 {
		s.Labels[labels[i]] = labels[i+1]
	}
	last := &t.metrics[len(t.metrics)-1]
	last.Samples = append(last.Samples, s)
}

// one is a metric with one sample.
func (t *table) one(name, kind, help string, value float64) {
	t.begin(name, kind, help)
	t.add(value)
}

// counts is a metric with a sample for each key.
func (t *table) counts(name, help, label string, values map[string]uint64) {
	t.begin(name, "counter", help)
	for _, key := range slices.Sorted(maps.Keys(values)) {
		t.add(float64(values[key]), label, key)
	}
}

func (m *Machine) processors(t *table) {
	t.begin("vm_exits_total", "counter", "How often a vCPU left the guest, by why.")
	for cpu, exits := range m.vm.Exits() {
		for _, why := range slices.Sorted(maps.Keys(exits)) {
			t.add(float64(exits[why]), "cpu", strconv.Itoa(cpu), "why", why)
		}
	}
	up := 0.0
	if begun := m.begun.Load(); begun != nil {
		up = time.Since(*begun).Seconds()
	}
	t.one("vm_uptime_seconds", "gauge", "Since the machine was started.", up)
	t.begin("vm_state", "gauge", "1 for what the machine is doing.")
	t.add(1, "state", string(m.state()))
}

// measure adds what failed and what was lost of it.
func (f *failures) measure(t *table) {
	t.counts("failures_total", "Failed transactions by BR code, and what the kernel would not report by its kind.", "kind", f.journal.Counts())
	s := f.emitter.Stats()
	t.one("reports_sent_total", "counter", "Reports handed to netlink.", float64(s.Sent))
	t.one("reports_dropped_total", "counter", "Reports that found the emitter's ring full.", float64(s.Dropped))
	t.one("reports_refused_total", "counter", "Reports that netlink refused.", float64(s.SendErrors))
	t.one("reports_lost_by_clients_total", "counter", "Reports that slow clients of the reports' unix socket lost.", float64(s.ClientLost))
}

// binderDevice adds what the binder device counts.
func (m *Machine) binderDevice(t *table) {
	s := m.binder.Stats()
	t.one("binder_requests_total", "counter", "Requests taken off the device's queues.", float64(s.Requests))
	t.one("binder_kicks_total", "counter", "Doorbells.", float64(s.Kicks))
	t.one("binder_reads_parked_total", "counter", "Reads that found no work and were kept.", float64(s.Parked))
	t.one("binder_reads_not_parked_total", "counter", "Reads that were turned away because the ring was half full of parked ones.", float64(s.NoPark))
	t.one("binder_interrupts_total", "counter", "Interrupts asked for.", float64(s.Interrupts))
	t.one("binder_answers_inline_total", "counter", "Answers that needed none.", float64(s.Inlined))
	t.one("binder_events_total", "counter", "Events sent to the guest driver.", float64(s.Events))
	t.one("binder_bad_requests_total", "counter", "Requests refused before they reached the core.", float64(s.BadRequests))
	t.one("binder_queue_depth", "gauge", "Requests with the core now: parked reads, and calls that are being made.", float64(s.Outstanding))
	t.one("binder_window_mapped_bytes", "gauge", "Buffer window that processes have mapped.", float64(s.WindowReserved))
	t.one("binder_window_refused_total", "counter", "Mappings refused for want of window.", float64(s.WindowFailed))
}

// pageSize is that of a buffer window, in bytes.
const pageSize = 4096

// binderCore adds what the binder core has and counted.
func (m *Machine) binderCore(t *table) {
	vm := m.binder.VM()
	traffic := vm.Traffic()
	t.counts("binder_commands_total", "Commands of processes (BC_).", "command", traffic.BC)
	t.counts("binder_returns_total", "Returns to processes (BR_).", "return", traffic.BR)
	counts := vm.Counts()
	t.begin("binder_objects", "gauge", "Objects that live now, by kind.")
	for _, kind := range slices.Sorted(maps.Keys(counts)) {
		t.add(float64(counts[kind].Active), "kind", kind)
	}
	var used, all, pending uint64
	vm.Stats(func(p *driver.ProcessStats) bool {
		used += p.PagesActive
		all += p.PagesActive + p.PagesIdle + p.PagesFree
		pending += uint64(p.Pending)
		return true
	})
	t.one("binder_buffer_used_bytes", "gauge", "Pages of all processes' buffers that a transaction lies on.", float64(used*pageSize))
	t.one("binder_buffer_bytes", "gauge", "Size of all processes' buffers.", float64(all*pageSize))
	t.one("binder_pending_transactions", "gauge", "Transactions that wait for a thread to read them.", float64(pending))
}
