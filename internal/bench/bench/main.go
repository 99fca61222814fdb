// SPDX-License-Identifier: Apache-2.0

// Command bench measures virtbinder. `make bench` runs it.
package main

import (
	"github.com/alecthomas/kong"

	"virtbinder/internal/bench"
)

func main() {
	var cli struct {
		Run   bench.RunCmd   `cmd:"" help:"Measure, and leave build/bench.json."`
		Table bench.TableCmd `cmd:"" help:"Put the figures into docs/performance.md."`
		Check bench.CheckCmd `cmd:"" help:"Compare ratios and allocations with internal/bench/baseline.json."`
		Guest bench.GuestCmd `cmd:"" hidden:"" help:"The part on the host of the guest."`
		Boot  bench.BootCmd  `cmd:"" hidden:"" help:"The part on the host of the guests that are only booted."`
	}
	ctx := kong.Parse(&cli, kong.Name("bench"), kong.UsageOnError())
	ctx.FatalIfErrorf(ctx.Run())
}
