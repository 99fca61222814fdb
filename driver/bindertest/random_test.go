// SPDX-License-Identifier: Apache-2.0

package bindertest_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"virtbinder/driver/bindertest"
	"virtbinder/driver/bindertest/fake"
)

// programs is how many random programs a test run takes. `make oracle-random` runs
// more, on real kernels.
const programs = 150

// outcome runs a program on a new System; what is left over belongs to it.
func outcome(p bindertest.Program, make func() (*fake.Kernel, error)) string {
	sys, err := make()
	if err != nil {
		return err.Error()
	}
	got, err := bindertest.Run(sys, p.Scenario())
	return fmt.Sprint(got, err, sys.Close())
}

// TestRandom runs programs on the core and through the ring. Both must do the same
// and keep nothing.
func TestRandom(t *testing.T) {
	differs := func(p bindertest.Program) bool {
		core := outcome(p, fake.NewCore)
		return core != outcome(p, fake.NewRing) || !strings.HasSuffix(core, "<nil> <nil>")
	}
	for seed := range uint64(programs) {
		if p := bindertest.NewProgram(seed); differs(p) {
			p = p.Minimize(differs)
			core, ring := outcome(p, fake.NewCore), outcome(p, fake.NewRing)
			t.Fatalf("seed %d on the core, and how the ring differs:\n%s\n%s", seed, core, cmp.Diff(core, ring))
		}
	}
}
