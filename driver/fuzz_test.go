// SPDX-License-Identifier: Apache-2.0

package driver

import (
	"math/rand/v2"
	"testing"
)

// FuzzGuests plays programs of several hostile guests on one core. The invariants are
// checked after every call, and when the guests are gone nothing may be left.
func FuzzGuests(f *testing.F) {
	for seed := range uint64(16) {
		f.Add(randomProgram(seed, 2000))
	}
	f.Fuzz(func(t *testing.T, code []byte) {
		newDen(t, code, 2).run()
	})
}

// TestRandomGuests is a fixed lot of FuzzGuests' programs.
func TestRandomGuests(t *testing.T) {
	for seed := range uint64(40) {
		newDen(t, randomProgram(seed, 6000), 2).run()
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func randomProgram(seed uint64, n int) []byte {
	rng := rand.New(rand.NewPCG(seed, 0))
	code := make([]byte, n)
	for i := range code {
		code[i] = byte(rng.Uint32())
	}
	return code
}
