// SPDX-License-Identifier: Apache-2.0

package puppet

import (
	"slices"

	"virtbinder/driver/bindertest"
)

// Exec has the leader begin anew. A clerk that begins says so.
func (p *process) Exec() error {
	p.spoilt = true
	var leader *thread
	for _, t := range slices.Concat(p.threads, p.spare) {
		if t.tid == p.pid {
			leader = t
		}
	}
	if err := leader.send(bindertest.Call{Op: bindertest.OpExec}); err != nil {
		return err
	}
	if _, err := p.answer(); err != nil {
		return err
	}
	for _, t := range slices.Concat(p.threads, p.spare) {
		if t != leader {
			t.end()
		}
	}
	p.spare = nil
	clear(p.tids)
	if _, err := p.newThreads(); err != nil {
		return err
	}
	return p.sys.Settle()
}
