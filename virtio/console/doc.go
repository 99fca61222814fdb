// SPDX-License-Identifier: Apache-2.0

// Package console is virtio's console device (id 3) with one port: hvc0, hvc1 and
// so on in a Linux guest.
//
// # Threads
//
//	sender (per activation)   takes what the guest prints off the transmit queue
//	printer (New to Close)    writes it to Config.Out
//	reader (New, until In ends)  reads Config.In and gives it to the guest
//
// The guest waits when outRoom bytes wait to be printed, so that nothing is lost on
// a slow terminal; Reset does not wait for the terminal. What is typed while no
// driver is there is kept, up to inRoom bytes, and then left in In.
package console
