// SPDX-License-Identifier: Apache-2.0

package puppet

import (
	"slices"

	"virtbinder/driver/bindertest"
)

// Exec has a thread begin anew, under the leader's number and with its socket. A clerk
// that begins says so.
func (p *process) Exec(by bindertest.Thread) error {
	p.spoilt = true
	if err := by.(*thread).send(bindertest.Call{Op: bindertest.OpExec}); err != nil {
		return err
	}
	if _, err := p.answer(); err != nil {
		return err
	}
	for _, t := range slices.Concat(p.threads, p.spare) {
		if t.tid == p.pid {
			t.pending = nil
		} else {
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
