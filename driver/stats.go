// SPDX-License-Identifier: Apache-2.0

package driver

// stat indexes the kinds of object that are counted, in the order of the kernel's
// stats file.
type stat int

const (
	statProc stat = iota
	statThread
	statNode
	statRef
	statDeath
	statTransaction
	statTransactionComplete
	statFreeze
	statBuffer
	statKinds
)

// statNames are the names that the kernel's stats file gives them; "buffer" is ours.
var statNames = [statKinds]string{"proc", "thread", "node", "ref", "death", "transaction",
	"transaction_complete", "freeze", "buffer"}

// counts keeps how many objects of each kind there are and were. Guarded by Core.mu.
type counts struct {
	total   [statKinds]uint64
	deleted [statKinds]uint64
}

func (c *counts) made(s stat) { c.total[s]++ }
func (c *counts) gone(s stat) { c.deleted[s]++ }

// Counts says for each kind of object how many live now and how many ever did.
type Counts map[string]struct{ Active, Total uint64 }

// Counts returns the VM's object counts.
func (vm *VM) Counts() Counts {
	vm.core.mu.Lock()
	defer vm.core.mu.Unlock()
	out := Counts{}
	for s := stat(0); s < statKinds; s++ {
		out[statNames[s]] = struct{ Active, Total uint64 }{vm.counts.total[s] - vm.counts.deleted[s], vm.counts.total[s]}
	}
	return out
}
