// SPDX-License-Identifier: Apache-2.0

package bindertest

// Difference is a scenario in which virtbinder deliberately does not do what the
// stock driver does. Its own transcript is in testdata/virtbinder.
type Difference struct {
	Scenario string
	Reason   string
	Kernels  []string // of the stock driver, as "6.12"; none: all
}

// Differences lists all of them. docs/compat.md is made of it.
func Differences() []Difference { return differences }

var differences = []Difference{
	{Scenario: "freeze/target-dies-while-waiting", Reason: "BINDER_FREEZE does not wait for a process that is dead; the stock driver sits out the timeout, then EAGAIN"},
	{Scenario: "oneway/update-files", Reason: "a superseded oneway gives up the files it carried; the stock driver leaks them before 7.3"},
	{Scenario: "oneway/spam-others", Kernels: []string{"6.1"}, Reason: "only a sender's earlier oneways are counted, as in 6.12; 6.1's driver counts the one it is just making too"},
	{Scenario: "regression/spam-reused-buffer", Reason: "only a sender's earlier oneways are counted; 6.12's driver counts the one it is just making " +
		"too if the record for it was last used for the same sender, and 6.1's does always"},
	{Scenario: "file/other-process-ioctl", Reason: "an ioctl that is about the calling thread, or a poll, from another process than the opener's " +
		"is refused (EINVAL, POLLERR), as the kernel's Rust driver does: a thread belongs to the process that opened the file"},
	{Scenario: "mmap/never-used", Reason: "the whole mapping is there from the start and reads as zero; the stock driver inserts a page when a " +
		"buffer first uses it, and until then the page faults"},
	{Scenario: "mmap/stale-reuse", Reason: "the bytes that pad the data to 8 are zero; the stock driver leaves there what an earlier buffer held"},
	{Scenario: "regression/thread-exit-undelivered-reply", Reason: "the buffer of what a thread had not read when it ended is freed; the stock driver " +
		"keeps it until the process ends, and nobody can free it"},
	{Scenario: "return/efault-error", Reason: "a failure that cannot be written is gone; in the stock driver the thread then executes no command any more, until it exits"},
	{Scenario: "return/efault-references", Reason: "what stands behind what cannot be written is lost with it; in the stock driver the next read brings it"},
	{Scenario: "held/others-go-on", Reason: executedWhenRead},
	{Scenario: "held/queued-when-read", Reason: executedWhenRead},
	{Scenario: "held/target-unmaps", Reason: executedWhenRead},
	{Scenario: "held/target-thread-exits", Reason: executedWhenRead},
}

const executedWhenRead = "a transaction is executed when all of it has been read; the stock driver finds its target and takes its room first"

// Differs finds the difference from the stock driver of a kernel that is declared
// for a scenario.
func Differs(kernel, name string) (d Difference, ok bool) {
	for _, d := range Differences() {
		if d.Scenario != name {
			continue
		}
		if len(d.Kernels) == 0 {
			return d, true
		}
		for _, k := range d.Kernels {
			if k == kernel {
				return d, true
			}
		}
	}
	return Difference{}, false
}
