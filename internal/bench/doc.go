// SPDX-License-Identifier: Apache-2.0

// Package bench measures virtbinder, from the core by itself to programs in a guest,
// and compares: a figure is a median, and where there is something to compare with, a
// ratio to what the same run measured for that.
//
//	native.go   core, scale, device: the Go benchmarks of ./driver and ./internal/bench/device
//	guest.go    guest: programs on virtbinder and on the stock driver, in one guest
//	breakdown.go, apart.go
//	            call: what a call in a guest is made of
//	table.go    docs/performance.md's tables
//	check.go    ratios and allocations against internal/bench/baseline.json
//
// `make bench` runs it. What the Go benchmarks said is kept as they said it, in
// build/bench/*.txt, for benchstat.
package bench
