// SPDX-License-Identifier: Apache-2.0

// Package vmm is a machine: processors, memory, interrupt chips, a serial port,
// a PCI bus with virtio devices on it, and the tables by which a Linux kernel
// finds all that. It knows nothing of binder; the devices are given to it.
//
// # Threads
//
//	one locked OS thread a vCPU   enters the guest, serves its exits; a device's
//	                              register accesses and inline doorbells run here
//	console output                carries what the guest prints to its writers
//	console input                 carries typed bytes to the serial port
//	device workers                package virtio's, in worker mode only
//
// Run raises GOMAXPROCS so that each of these may run Go code at once.
//
// # Ownership
//
// Machine owns the KVM machine, its memory and its vCPUs; the transports own
// eventfds and shared-memory mappings that they got through host (host.go);
// devices are the caller's, who frees them after Close.
//
// # The end
//
// Whoever learns first how the machine ends says so through finish: a vCPU that
// served the guest's power-off write, a failed thread, the context. Run then, in
// this order: lets no vCPU wait for the console, kicks them all out of the guest,
// joins them, resets the devices (workers join there), writes the console out.
// Close, after it: devices' transports, vCPUs, machine, memory.
//
// A panic of the guest's kernel is told in three ways, each enough: the panic
// device (a guest with the pvpanic driver), a reset or triple fault after the
// kernel's panic line on the console, or that line and no reset for ten seconds.
//
// # Locks
//
//	pciBus.mu            placement of BARs; held over a function's ConfigWrite
//	                     and SetBARAddr, which call the host
//	  bus.mu             changes of a bus's table; readers take no lock
//	  slotTable.mu       numbers of memory slots
//	serial.mu, powerBlock.mu, output.mu, gate.mu   leaves; serial and power drive an
//	                     interrupt line (an ioctl) while they hold it
package vmm
