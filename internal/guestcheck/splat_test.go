// SPDX-License-Identifier: Apache-2.0

package guestcheck

import (
	"strings"
	"testing"
)

func TestSplats(t *testing.T) {
	const quiet = `[    0.000000] Linux version 6.12.117-sanitize
[    0.012345] kasan: KernelAddressSanitizer initialized (generic)
[    0.100000] kmemleak: Kernel memory leak detector initialized (mem pool available: 15797)
[    0.100000] virtbinder virtio1: 1 request queues, inline doorbell, window 512 MiB at 0x100000000
[    0.150000] x86/PAT: Configuration [0-7]: WB  WC  UC- UC  WB  WP  UC- WT
[    0.200000] random: crng init done
[    0.205000] traps: puppet[107] general protection fault ip:401fe2 sp:7ffc5f3642a0 error:402 in puppet[1fe2,401000+8c000]
[    0.210000] Spectre V2 : WARNING is not at the beginning of anything here
`
	if s := Splats(quiet); len(s) != 0 {
		t.Errorf("an ordinary boot complains: %q", s)
	}
	for _, line := range []string{
		"BUG: KASAN: slab-use-after-free in vb_deliver+0x12/0x100 [virtbinder]",
		"WARNING: CPU: 0 PID: 1 at kernel/x.c:1 f+0x1/0x2",
		"WARNING: possible circular locking dependency detected",
		"BUG: sleeping function called from invalid context at mm/x.c:1",
		"INFO: task storm:77 blocked for more than 120 seconds.",
		"UBSAN: array-index-out-of-bounds in gather.c:10:2",
		"unreferenced object 0xffff888000000000 (size 64):",
		"BUG vbinder_call (Not tainted): Objects remaining in vbinder_call on __kmem_cache_shutdown()",
		"x86/PAT: storm:60 freeing invalid memtype [mem 0x410621000-0x410621fff]",
		"Oops: general protection fault, probably for non-canonical address 0xdffffc0000000000",
		"general protection fault: 0000 [#1] PREEMPT SMP",
	} {
		got := Splats(quiet + "[    1.000000] " + line + "\n[    1.000001] more of it\n")
		if len(got) != 1 || !strings.Contains(got[0], line) || !strings.Contains(got[0], "more of it") {
			t.Errorf("%q is found as %q", line, got)
		}
	}
}

func TestSplatsThatFollowEachOther(t *testing.T) {
	if got := Splats("BUG: a\nCall Trace:\n" + strings.Repeat("quiet\n", quoteLines) + "BUG: b\n"); len(got) != 2 {
		t.Errorf("%d complaints, not 2: %q", len(got), got)
	}
}
