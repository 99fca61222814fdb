// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// caller is a program in the guest that makes calls, one after the other, for us to take apart.
type caller struct {
	name    string // of its calls
	command string // what somebody would type
	// run has it make so many on a driver. By is a command that runs it, if there is one;
	// it returns how long they took and what that command has said behind them.
	run func(ctx context.Context, driver string, calls int, by []string) (pingpong, string, error)
}

// pingpongCaller makes calls of a size between two processes.
func (m *measuring) pingpongCaller(p pinning, size, calls int) caller {
	args := func(calls int) []string {
		return append([]string{"-n", strconv.Itoa(calls), "-r", "1", "-s", strconv.Itoa(size)}, p.pingpong()...)
	}
	devices := map[string]string{ours: ourDevice, stock: stockDevice}
	return caller{
		name:    m.name(sizeName(size)) + p.name,
		command: command(nil, "pingpong", args(calls)),
		run: func(ctx context.Context, driver string, calls int, by []string) (said pingpong, more string, err error) {
			words := slices.Concat(by, []string{pingpongPath}, args(calls), []string{devices[driver]})
			text, err := m.run(ctx, nil, words[0], words[1:]...)
			if err != nil {
				return said, "", err
			}
			line, more, _ := strings.Cut(text, "\n")
			list, err := parsePingpong(line)
			if err != nil {
				return said, "", err
			}
			return list[0], more, nil
		},
	}
}

func sizeName(size int) string {
	if size == 0 {
		return "null call"
	}
	return fmt.Sprintf("%d KiB", size>>10)
}

// pingCaller makes one of libbinder's pings: so many in a row, whose time is known together,
// and again until there are enough.
func (m *measuring) pingCaller(p pinning, ping string, row, calls int) caller {
	args := func(calls int) []string {
		row := min(row, calls)
		return []string{rpcFilter(ping), "--benchmark_format=json", fmt.Sprintf("--benchmark_min_time=%dx", row),
			fmt.Sprintf("--benchmark_repetitions=%d", calls/row)}
	}
	env := p.env(1, 0)
	return caller{
		name:    m.name("libbinder's ping") + p.name,
		command: command(env, rpcProgram, args(calls)),
		run: func(ctx context.Context, driver string, calls int, by []string) (said pingpong, more string, err error) {
			if by != nil {
				by = append(slices.Clone(by), "env")
			}
			var out bytes.Buffer
			fmt.Fprintf(m.log, "# %s: %s\n", driver, command(env, rpcProgram, args(calls)))
			err = m.guest.Session(ctx, driver, io.MultiWriter(&out, m.log), append(by, env...), rpcProgram, args(calls)...)
			if err != nil {
				return said, "", err
			}
			text, more, _ := strings.Cut(out.String(), traceBegin)
			pings, err := parsePings(text)
			if err == nil && pings[ping].Calls == 0 {
				err = fmt.Errorf("no times of %s in what %s said: %q", ping, rpcProgram, text)
			}
			return pings[ping], more, err
		},
	}
}
