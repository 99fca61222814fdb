// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"fmt"
	"strconv"

	"virtbinder/internal/config"
	"virtbinder/virtio"
	"virtbinder/virtio/block"
	"virtbinder/virtio/net"
	"virtbinder/virtio/vsock"
)

// virtqueues adds where each queue of each device stands.
func (m *Machine) virtqueues(t *table) {
	states := m.vm.Queues()
	each := func(value func(virtio.QueueState) uint64) {
		for i, queues := range states {
			for q, s := range queues {
				t.add(float64(value(s)), "device", fmt.Sprint(m.devices[i]), "queue", strconv.Itoa(q))
			}
		}
	}
	t.begin("virtqueue_depth", "gauge", "Chains that the driver has put up and not got back: requests, or empty buffers on a queue to the guest.")
	each(func(s virtio.QueueState) uint64 { return s.Depth })
	t.begin("virtqueue_taken_total", "counter", "Chains that the device took off the ring since the driver set it up.")
	each(func(s virtio.QueueState) uint64 { return s.Taken })
	t.begin("virtqueue_interrupts_total", "counter", "Interrupts for what came back on the queue.")
	each(func(s virtio.QueueState) uint64 { return s.Interrupts })
}

// ofType are the devices of one type.
func ofType[T virtio.Device](devices []virtio.Device) (found []T) {
	for _, d := range devices {
		if d, ok := d.(T); ok {
			found = append(found, d)
		}
	}
	return found
}

// directions adds a pair of samples of one device: what it gave the guest, and what
// the guest gave it.
func (t *table) directions(device string, toGuest, fromGuest uint64) {
	t.add(float64(toGuest), "device", device, "direction", "to_guest")
	t.add(float64(fromGuest), "device", device, "direction", "from_guest")
}

func measureDisks(t *table, disks []*block.Device) {
	t.begin("disk_requests_total", "counter", "Requests of the guest, by kind.")
	for _, d := range disks {
		s := d.Stats()
		for _, kind := range []struct {
			name string
			n    uint64
		}{{"read", s.Reads}, {"write", s.Writes}, {"flush", s.Flushes}, {"discard", s.Discards}, {"zeroes", s.Zeroes}} {
			t.add(float64(kind.n), "device", d.String(), "kind", kind.name)
		}
	}
	t.begin("disk_bytes_total", "counter", "Bytes that the guest read (to_guest) and wrote.")
	for _, d := range disks {
		s := d.Stats()
		t.directions(d.String(), s.ReadBytes, s.WrittenBytes)
	}
	t.begin("disk_failures_total", "counter", "Requests that were answered with an error.")
	for _, d := range disks {
		t.add(float64(d.Stats().Failures), "device", d.String())
	}
}

func measureNetworks(t *table, networks []*net.Device) {
	t.begin("net_frames_total", "counter", "Frames; one whose segmentation is left to the other end is one.")
	for _, d := range networks {
		s := d.Stats()
		t.directions(d.String(), s.Received, s.Sent)
	}
	t.begin("net_bytes_total", "counter", "Bytes of the frames.")
	for _, d := range networks {
		s := d.Stats()
		t.directions(d.String(), s.ReceivedBytes, s.SentBytes)
	}
	t.begin("net_dropped_total", "counter", "Frames that got no further, in either direction.")
	for _, d := range networks {
		t.add(float64(d.Stats().Dropped), "device", d.String())
	}
}

func measureVsocks(t *table, vsocks []*vsock.Device) {
	for _, d := range vsocks { // there is one at most
		s := d.Stats()
		t.one("vsock_connections", "gauge", "Connections now, those being made among them.", float64(s.Open))
		t.one("vsock_connections_begun_total", "counter", "Connections that either side began.", float64(s.Begun))
		t.begin("vsock_bytes_total", "counter", "Data of all connections.")
		t.directions(d.String(), s.ReceivedBytes, s.SentBytes)
	}
}

// consoleTraffic adds what went over the consoles, the serial port among them.
func (m *Machine) consoleTraffic(t *table) {
	t.begin("console_bytes_total", "counter", "Bytes that were typed (to_guest) and printed.")
	hvc := 0
	for i, hub := range m.consoles {
		name := "serial"
		if m.cfg.Consoles[i].Type == config.HVC {
			name = fmt.Sprintf("hvc%d", hvc)
			hvc++
		}
		s := hub.Traffic()
		t.directions(name, s.Typed, s.Printed)
	}
}
