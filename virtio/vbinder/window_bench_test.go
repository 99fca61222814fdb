// SPDX-License-Identifier: Apache-2.0

package vbinder

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// BenchmarkWindow is what the pages of a process's window cost: as they come, touched
// ahead when the process maps it, and huge. "map" is what a process pays once, the
// others copy into its first bytes, for the first time or again.
func BenchmarkWindow(b *testing.B) {
	const process = 1 << 20
	variants := []struct {
		name    string
		prepare func(b *testing.B, bytes []byte) // all of the process's
	}{
		{"as-they-come", func(*testing.B, []byte) {}},
		{"populated", func(b *testing.B, bytes []byte) { advise(b, bytes, unix.MADV_POPULATE_WRITE) }},
		{"huge", func(b *testing.B, bytes []byte) { advise(b, bytes, unix.MADV_HUGEPAGE) }},
	}
	payload := make([]byte, 512<<10)
	for _, v := range variants {
		if v.name == "huge" && !mayAskForHugePages() {
			b.Logf("no huge pages: shmem_enabled is neither advise nor always")
			continue
		}
		w, err := newWindow("bench", 4<<20, 4<<20)
		if err != nil {
			b.Fatal(err)
		}
		defer w.close()
		// A huge page is aligned, so the process has the first bytes.
		bytes := w.bytes[:process]
		b.Run(v.name+"/map", func(b *testing.B) {
			for b.Loop() {
				v.prepare(b, bytes)
				b.StopTimer()
				w.drop(0, process)
				b.StartTimer()
			}
		})
		for _, size := range []struct {
			name string
			n    int
		}{{"256B", 256}, {"4KiB", 4 << 10}, {"512KiB", 512 << 10}} {
			b.Run(v.name+"/first-"+size.name, func(b *testing.B) {
				for b.Loop() {
					b.StopTimer()
					w.drop(0, process)
					v.prepare(b, bytes)
					b.StartTimer()
					copy(bytes, payload[:size.n])
				}
			})
			b.Run(v.name+"/again-"+size.name, func(b *testing.B) {
				for b.Loop() {
					copy(bytes, payload[:size.n])
				}
			})
		}
	}
}

func advise(b *testing.B, bytes []byte, advice int) {
	if err := unix.Madvise(bytes, advice); err != nil {
		b.Fatalf("madvise %d: %v", advice, err)
	}
}

// mayAskForHugePages says whether the host gives them to files in memory.
func mayAskForHugePages() bool {
	text, _ := os.ReadFile("/sys/kernel/mm/transparent_hugepage/shmem_enabled")
	return strings.Contains(string(text), "[advise]") || strings.Contains(string(text), "[always]")
}
