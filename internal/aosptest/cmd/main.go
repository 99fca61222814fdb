// SPDX-License-Identifier: Apache-2.0

// Command aosp-tests runs AOSP's own tests on virtbinder and on the kernel's own
// driver, and says where virtbinder is worse. Its exit code is 0 if nowhere.
package main

import (
	"github.com/alecthomas/kong"

	"virtbinder/internal/aosptest"
)

const description = `AOSP's own test programs on virtbinder and on the kernel's own binder driver, in one guest.

Examples:

  aosp-tests                        everything, in each guest
  aosp-tests --only binderLibTest   one program
  aosp-tests --only binderRpcTest --guests 6.12-apparmor --tests '*OnewayStressTest/vm_socket*'
  aosp-tests --brief                what the tests of this project run`

func main() {
	var c aosptest.Cmd
	ctx := kong.Parse(&c, kong.Name("aosp-tests"), kong.Description(description), kong.UsageOnError())
	ctx.FatalIfErrorf(ctx.Run())
}
