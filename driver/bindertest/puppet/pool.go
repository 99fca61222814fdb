// SPDX-License-Identifier: Apache-2.0

package puppet

import (
	"slices"

	"golang.org/x/sys/unix"

	"virtbinder/driver/bindertest"
)

// Pool keeps processes whose scenario is over, and makes them as new: to start one
// takes longer than all that most scenarios do. A nil Pool keeps nothing.
type Pool struct{ idle []*process }

// take hands out a process that began with these attributes, or nil.
func (pool *Pool) take(s *System, a bindertest.Attr) (*process, error) {
	if pool == nil {
		return nil, nil
	}
	i := slices.IndexFunc(pool.idle, func(p *process) bool { return p.attr == a })
	if i < 0 {
		return nil, nil
	}
	p := pool.idle[i]
	pool.idle = slices.Delete(pool.idle, i, i+1)
	p.sys = s
	for _, t := range p.spare {
		if err := unix.Setpriority(unix.PRIO_PROCESS, t.tid, a.Nice); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// put keeps a process, if it can be made as new.
func (pool *Pool) put(p *process) bool {
	if pool == nil || !p.alive || p.spoilt || !p.reset() {
		return false
	}
	pool.idle = append(pool.idle, p)
	return true
}

// reset takes everything from the process that its scenario gave it.
func (p *process) reset() bool {
	if p.thaw() != nil {
		return false
	}
	for _, t := range p.threads {
		if t.collect(); t.pending != nil {
			_ = t.Signal()
		}
	}
	if p.sys.Settle() != nil {
		return false
	}
	p.threads = slices.DeleteFunc(p.threads, func(t *thread) bool { return t.gone })
	for _, t := range p.threads {
		if t.pending != nil {
			return false
		}
		t.done = false
	}
	if errno, err := p.order('R', -1); err != nil || errno != 0 {
		return false
	}
	p.spare = append(p.threads, p.spare...)
	p.threads = nil
	return true
}
