// SPDX-License-Identifier: Apache-2.0

// Package virtio is the device side of virtio 1.x: split rings, and the modern
// PCI transport, written once for all devices. A device implements Device; the
// machine implements Host; NewPCI joins the two.
//
// # The guest is hostile
//
// Everything in guest memory and every register write is the guest's. A ring that
// breaks the rules fails its device (DEVICE_NEEDS_RESET, with the reason in the
// log) and nothing else. No input makes this package panic, loop without bound or
// touch memory outside the guest's.
//
// # Life of a device
//
// The driver moves the device forward by setting bits in its status register; the
// transport enforces the order.
//
//	       +-------+  ACKNOWLEDGE, DRIVER   +------------+
//	+----->| reset |----------------------->| negotiating|  feature bits are written here
//	|      +-------+                        +------------+
//	|          ^                                  | FEATURES_OK: refused (the bit stays 0) unless
//	|          |                                  | VERSION_1 and only offered bits were accepted
//	|          |                                  v
//	|          |                            +------------+
//	| status:=0, from anywhere              | configured |  queues are set up here
//	|  queues stop, workers                 +------------+
//	|  join, Device.Reset                         | DRIVER_OK: rings are checked, Device.Activate
//	|          |                                  v
//	|          |                            +------------+
//	|          +----------------------------|   active   |  Notify, Pop, Push, Interrupt
//	|                                       +------------+
//	|                                             | Fail: a broken ring, bad ring addresses,
//	|                                             | Activate's error, DRIVER_OK out of order
//	|                                             v
//	|          status:=0                    +------------+
//	+---------------------------------------| needs reset|  DEVICE_NEEDS_RESET is set, config interrupt sent;
//	                                        +------------+  the broken queue gives and takes nothing more
//
// Fail can happen in every state. A status write that would take bits away, other
// than to 0, is ignored. Features cannot change after FEATURES_OK, nor a queue
// after it was enabled.
//
// # The doorbell
//
// Notifications are 16-bit writes of the queue's index to one I/O port (an I/O
// BAR). Inline, the write is an exit of the kicking vCPU and Device.Notify runs
// in that vCPU's thread. In worker mode the port is bound to one eventfd per
// queue, and each queue has a goroutine on a thread of its own in blocking read(2), which
// looks at the ring for a while before it sleeps if the device is a Poller.
//
// # Locks, outermost first
//
//	PCI.mu           registers of the common configuration, and state changes
//	  PCI.life       read-held by an inline Notify; written by Activate and Reset
//	    (the device's own locks)
//	      Queue.mu   a leaf: one queue's ring indices
//	  pci.Config.mu  a leaf: configuration space
//	  pci.MSIX.mu    a leaf: interrupt table
//	PCI.mapMu        shared-memory mappings and doorbell bindings; only SetBARAddr and
//	                 Close take it; it may call the Host
//
// Device.Notify runs with life read-held and may do anything but reset its own
// device. Fail, ConfigChanged, Queue.Push and Queue.Interrupt take leaves only, so
// a device may call them under its own locks; an interrupt is sent without any
// lock of this package.
package virtio
