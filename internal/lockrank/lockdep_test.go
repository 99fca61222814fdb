// SPDX-License-Identifier: Apache-2.0

//go:build lockdep

package lockrank

import (
	"strings"
	"testing"
)

// TestPlantedInversionIsCaught: locks taken in the wrong order, two of one rank, one
// released that is not held, and a copy under a lock, each by its name.
func TestPlantedInversionIsCaught(t *testing.T) {
	var core, device, other Mutex
	core.Init(Core, "the core")
	device.Init(Device, "the device")
	other.Init(Device, "another device")
	for name, tc := range map[string]struct {
		want string
		do   func()
	}{
		"inversion":  {"taking the core (rank 10) while holding the device (rank 20)", func() { device.Lock(); defer device.Unlock(); core.Lock() }},
		"one rank":   {"taking another device", func() { device.Lock(); defer device.Unlock(); other.Lock() }},
		"twice":      {"taking the core", func() { core.Lock(); defer core.Unlock(); core.Lock() }},
		"not held":   {"the core is not held", func() { core.Unlock() }},
		"under lock": {"copying while holding the core", func() { core.Lock(); defer core.Unlock(); AssertNone("copying") }},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if v, _ := recover().(string); !strings.Contains(v, tc.want) {
					t.Errorf("panic %q, want one with %q", v, tc.want)
				}
			}()
			tc.do()
		})
	}
	core.Lock() // the right order still works
	device.Lock()
	device.Unlock()
	core.Unlock()
	AssertNone("resting")
}
