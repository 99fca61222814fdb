// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// pinning is where the two sides of a call may run: anywhere, or each on a processor.
type pinning struct {
	name           string
	pinned         bool
	client, server int
}

func (m *measuring) pinnings() []pinning {
	if m.CPUs == 1 {
		return []pinning{{}}
	}
	return []pinning{{}, pinnedToOne, pinnedApart}
}

var (
	pinnedToOne = pinning{name: ", pinned to one", pinned: true}
	pinnedApart = pinning{name: ", pinned apart", pinned: true, server: 1}
)

// pingpong is how pingpong is told.
func (p pinning) pingpong() []string {
	if !p.pinned {
		return nil
	}
	return []string{"-p", fmt.Sprintf("%d,%d", p.client, p.server)}
}

// env is how a program is told that has no option for it (pin/pin.c): a client, which
// forks so many servers and then so many clients.
func (p pinning) env(servers, clients int) []string {
	if !p.pinned {
		return nil
	}
	list := []string{strconv.Itoa(p.client)}
	list = append(list, slices.Repeat([]string{strconv.Itoa(p.server)}, servers)...)
	list = append(list, slices.Repeat([]string{strconv.Itoa(p.client)}, clients)...)
	return []string{"PIN=" + strings.Join(list, ","), "LD_PRELOAD=" + pinPath}
}
