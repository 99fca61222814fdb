// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// statsPath is what the guest's driver has counted.
const statsPath = "/sys/kernel/debug/virtbinder/stats"

// counted is how often things happened, by the driver's name for them.
type counted map[string]float64

var statsQueue = regexp.MustCompile(`(?m)^queue \d+: (.*)$`)

// parseStats adds up the counts of all queues.
func parseStats(text string) (counted, error) {
	sum := counted{}
	for _, queue := range statsQueue.FindAllStringSubmatch(text, -1) {
		words := strings.Fields(queue[1])
		for i := 0; i+1 < len(words); i += 2 {
			n, err := strconv.ParseFloat(words[i+1], 64)
			if err != nil {
				return nil, fmt.Errorf("%s: %q: %w", statsPath, queue[0], err)
			}
			sum[words[i]] += n
		}
	}
	if sum["requests"] == 0 {
		return nil, fmt.Errorf("%s: no requests in %q", statsPath, text)
	}
	return sum, nil
}

func (m *measuring) stats(ctx context.Context) (counted, error) {
	text, err := m.run(ctx, nil, "cat", statsPath)
	if err != nil {
		return nil, err
	}
	return parseStats(text)
}

// Runs of a caller that differ by so many calls: what it does beside them is in both.
const (
	fewCalls  = 1
	manyCalls = 600
)

// counts is what happens in one call of a caller on our driver.
func (m *measuring) counts(ctx context.Context, c caller) (counted, error) {
	each := counted{}
	for _, calls := range []int{fewCalls, manyCalls} {
		before, err := m.stats(ctx)
		if err != nil {
			return nil, err
		}
		if _, _, err := c.run(ctx, ours, calls, nil); err != nil {
			return nil, err
		}
		after, err := m.stats(ctx)
		if err != nil {
			return nil, err
		}
		for what := range after {
			each[what] = (after[what]-before[what])/(manyCalls-fewCalls) - each[what]
		}
	}
	return each, nil
}
