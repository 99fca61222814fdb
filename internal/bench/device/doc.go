// SPDX-License-Identifier: Apache-2.0

// Package device measures the binder device between two processes, with nothing of a
// virtual machine but its parts: guest memory is a memfd, doorbells and interrupts are
// eventfds, the guest driver is another process (guest_test.go), and the device runs in
// worker mode. What a call costs is put beside what else two processes can do: an
// eventfd ping-pong, which no doorbell and interrupt can beat, an echo over a unix
// socket, and gRPC over a unix socket.
//
// All of it is in tests: nothing here is part of any program.
//
//	go test -bench . ./internal/bench/device
package device
