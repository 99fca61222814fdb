// SPDX-License-Identifier: Apache-2.0

package driver

// Limits caps what one guest can make the host keep. Zero fields take the default.
// The caps from Threads to Notices are a process's; all processes of a VM together
// may have Share times as much. The kernel's driver has none of them but memory, and
// the errors are those of memory that runs out.
type Limits struct {
	Contexts     int    // device nodes per VM; ENOSPC when one more is made
	Processes    int    // open files per VM; ENOMEM at open beyond it
	Threads      int    // ENOMEM from the ioctl
	Nodes        int    // the transaction that would make one more fails with ENOMEM
	Refs         int    // handles; likewise
	Buffers      int    // unfreed, delivered or not; ENOSPC, as when their space is used up
	Transactions int    // queued on the process or served by it; ENOMEM
	Completions  int    // of its own transactions, unread; ENOMEM
	Notices      int    // death registrations and what is left of them (BR_ERROR), freeze registrations likewise (ENOMEM)
	Share        int    // see above
	Depth        int    // calls within calls; ENOMEM
	Label        int    // bytes of a security label; EINVAL where one is stated
	Window       uint64 // bytes of buffer window of a process; larger mappings are cut to it
}

var defaultLimits = Limits{
	Contexts: 65536, Processes: 32768, Threads: 16384, Nodes: 1 << 17, Refs: 1 << 17, Buffers: 1 << 15,
	Transactions: 1 << 15, Completions: 1 << 15, Notices: 1 << 17, Share: 8, Depth: 1024, Label: 4096,
	Window: 4 << 20,
}

// DefaultLimits are the limits that zero fields take.
func DefaultLimits() Limits { return defaultLimits }

func (l *Limits) setDefaults() {
	def := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	d := &defaultLimits
	def(&l.Contexts, d.Contexts)
	def(&l.Processes, d.Processes)
	def(&l.Threads, d.Threads)
	def(&l.Nodes, d.Nodes)
	def(&l.Refs, d.Refs)
	def(&l.Buffers, d.Buffers)
	def(&l.Transactions, d.Transactions)
	def(&l.Completions, d.Completions)
	def(&l.Notices, d.Notices)
	def(&l.Share, d.Share)
	def(&l.Depth, d.Depth)
	def(&l.Label, d.Label)
	if l.Window == 0 {
		l.Window = d.Window
	}
}

// of is the cap on objects of one kind in a process.
func (l *Limits) of(s stat) int {
	return [statKinds]int{
		statProc: 1, statThread: l.Threads, statNode: l.Nodes, statRef: l.Refs, statDeath: l.Notices,
		statTransaction: l.Transactions, statTransactionComplete: l.Completions, statFreeze: l.Notices,
		statBuffer: l.Buffers,
	}[s]
}

// usage is what a process has of one kind, and the most that it ever had: tables that
// have grown stay, so that is what it is charged for until it ends.
type usage struct{ now, most int }

// room says whether the process may have one more of a kind.
func (p *Process) room(s stat) bool {
	l, u := &p.vm.core.cfg.Limits, &p.used[s]
	most := l.of(s)
	return u.now < most && (u.now < u.most || p.vm.charged[s] < l.Share*most)
}

func (p *Process) take(s stat) {
	u := &p.used[s]
	if u.now++; u.now > u.most {
		u.most++
		p.vm.charged[s]++
	}
}

func (p *Process) give(s stat) { p.used[s].now-- }

// made and gone count an object that belongs to the process.
func (p *Process) made(s stat) {
	p.vm.counts.made(s)
	p.take(s)
}

func (p *Process) gone(s stat) {
	p.vm.counts.gone(s)
	p.give(s)
}

// discharge ends what a released process was charged for.
func (p *Process) discharge() {
	for s := range p.used {
		p.vm.charged[s] -= p.used[s].most
	}
}
