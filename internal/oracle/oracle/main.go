// SPDX-License-Identifier: Apache-2.0

// Command oracle compares our binder driver with the kernel's own. `make oracle` runs
// it.
package main

import (
	"github.com/alecthomas/kong"

	"virtbinder/internal/oracle"
)

func main() {
	var cli struct {
		Run    oracle.RunCmd    `cmd:"" help:"Run the scenarios on both drivers and compare."`
		Random oracle.RandomCmd `cmd:"" help:"Run random programs on both drivers and compare."`
		Guest  oracle.GuestCmd  `cmd:"" hidden:"" help:"The part in the guest."`
	}
	ctx := kong.Parse(&cli, kong.Name("oracle"), kong.UsageOnError())
	ctx.FatalIfErrorf(ctx.Run())
}
