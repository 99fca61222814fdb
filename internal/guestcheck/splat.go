// SPDX-License-Identifier: Apache-2.0

package guestcheck

import (
	"regexp"
	"strings"
)

// splatPattern is how the kernel begins to complain. A call trace is printed by
// nothing else, so it stands for all that are not listed. A fault of a program, "traps:
// puppet[107] general protection fault ip:", is no complaint.
var splatPattern = regexp.MustCompile(strings.Join([]string{
	`BUG: `, `BUG at `, `WARNING: `, `KASAN: `, `UBSAN: `, `ODEBUG: `, `Oops`, `Kernel panic`, `Call Trace:`,
	`general protection fault[,:]`, `unable to handle`, `double fault`, `stack guard page`,
	`possible (circular|recursive) locking`, `possible irq lock inversion`, `inconsistent lock state`, `invalid wait context`, `bad unlock balance`,
	`suspicious RCU usage`, `sleeping function called`, `scheduling while atomic`, `DEBUG_LOCKS_WARN_ON`, `lock held when returning to user`,
	`INFO: task .* blocked`, `INFO: rcu`, `rcu: INFO:`, `soft lockup`, `hard LOCKUP`, `workqueue lockup`, `turning off the locking correctness`,
	`list_(add|del) corruption`, `refcount_t: `, `unreferenced object`, `Objects remaining`, `Slab cache still has objects`, `kmem_cache_destroy`,
	`Memory leak detector disabled`, `Bad page state`, `Bad rss-counter`, `page_table_check`, `usercopy: Kernel memory`, `detected buffer overflow`, `x86/PAT: .*(invalid|conflicting)`,
}, "|"))

// quoteLines is how much of a complaint is quoted.
const quoteLines = 40

// Splats returns the complaints in a kernel's log, each from its first line on. Those
// that follow within another's quotation are part of it.
func Splats(log string) (splats []string) {
	lines := strings.Split(log, "\n")
	for i := 0; i < len(lines); i++ {
		if !splatPattern.MatchString(lines[i]) {
			continue
		}
		end := min(i+quoteLines, len(lines))
		splats = append(splats, strings.Join(lines[i:end], "\n"))
		i = end - 1
	}
	return splats
}
