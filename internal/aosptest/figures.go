// SPDX-License-Identifier: Apache-2.0

package aosptest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"virtbinder/guest/agentclient"
)

// measurements are of AOSP's throughput test: the time of a call between two
// processes. It counts in 128 steps up to -m, in microseconds.
var measurements = []struct {
	name string
	args []string
}{
	{"a pair, no payload", []string{"-w", "2", "-p", "-i", "1000", "-m", "2500"}},
	{"a pair, 4 KiB", []string{"-w", "2", "-p", "-s", "4096", "-i", "1000", "-m", "2500"}},
	{"two pairs", []string{"-w", "4", "-p", "-i", "700", "-m", "5000"}},
	{"eight processes, everyone with everyone", []string{"-w", "8", "-i", "200", "-m", "20000"}},
}

// rounds is how often each is measured on each driver, in turn; the median counts.
const rounds = 3

// figures measures both drivers. It is worth doing where both can serve.
func (m *machine) figures(ctx context.Context, series, out string) ([]Figure, error) {
	log, err := os.Create(filepath.Join(out, "figures.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	var list []Figure
	for _, what := range measurements {
		samples := map[string][]float64{}
		for range rounds {
			for _, driver := range []string{virtbinder, stock} {
				var said bytes.Buffer
				args := append([]string{"-m", "sh", scriptDir + "session.sh", driver, testDir + "binderThroughputTest"}, what.args...)
				exit, err := m.Exec(ctx, agentclient.Cmd{Path: "unshare", Args: args, Stdout: &said, Stderr: &said})
				fmt.Fprintf(log, "# %s %s\n%s# exit %d\n", driver, strings.Join(what.args, " "), said.Bytes(), exit)
				if err != nil {
					return nil, err
				}
				p50, err := median50(said.String())
				if err != nil {
					return nil, fmt.Errorf("%s on %s: %w", what.name, driver, err)
				}
				samples[driver] = append(samples[driver], p50)
			}
		}
		f := Figure{Name: "binderThroughputTest p50, " + what.name, Guest: series, Unit: "us",
			Virtbinder: middle(samples[virtbinder]), Stock: middle(samples[stock])}
		f.Ratio = f.Virtbinder / f.Stock
		list = append(list, f)
	}
	return list, nil
}

var p50 = regexp.MustCompile(`50%: ([0-9.e-]+) `)

// median50 finds the median in the throughput test's output; it says milliseconds.
func median50(text string) (us float64, err error) {
	all := p50.FindAllStringSubmatch(text, -1)
	if len(all) != 1 {
		return 0, fmt.Errorf("its output has %d medians", len(all))
	}
	ms, err := strconv.ParseFloat(all[0][1], 64)
	return 1000 * ms, err
}

func middle(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}
