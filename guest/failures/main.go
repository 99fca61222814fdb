// SPDX-License-Identifier: Apache-2.0

// Command failures makes binder transactions fail, in every way for which Linux's
// driver has a rule whether that is reported: the cases of
// netlink/testdata/netlink-7.2.13.json, and the one in which virtbinder differs. It
// runs in a guest or on a host, on our device or on the stock driver's, and judges
// nothing: it prints what its processes read, one JSON object a case.
//
// After each case it makes one more transaction fail, with a code that numbers the
// case. Its report tells whoever captures them which came before, so a case without
// reports is seen as such without waiting for any.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
)

// MarkerCode plus a case's number is the code of the transaction after it.
const MarkerCode = 0x4d000000

// Result is what one case saw.
type Result struct {
	Case   string            `json:"case"`
	Number uint32            `json:"number"` // of its marker
	Roles  map[string]uint32 `json:"roles"`  // pids; each process has one thread, its leader
	Sender []string          `json:"sender_br,omitempty"`
	Target []string          `json:"target_br,omitempty"`
	// Code and errno of the sender's extended error, where the case reads it.
	Extended *[2]int32 `json:"extended,omitempty"`
}

func actNames() (names []string) {
	for _, a := range acts {
		names = append(names, a.name)
	}
	return names
}

func init() { runtime.LockOSThread() } // a puppet's binder thread is its leader

func main() {
	binder := flag.String("binder", "/dev/binder", "device without a context manager")
	hwbinder := flag.String("hwbinder", "/dev/hwbinder", "another such device")
	only := flag.String("acts", "", "play only these groups of cases, by name: "+strings.Join(actNames(), ","))
	markers := flag.Bool("markers", true, "let a failure that numbers it follow each case")
	asPuppet := flag.String("puppet", "", "be a process of a case, in this role (internal)")
	flag.Parse()
	if *asPuppet != "" {
		servePuppet(*asPuppet)
		return
	}
	s := &stage{binder: *binder, hwbinder: *hwbinder, markers: *markers, out: json.NewEncoder(os.Stdout)}
	if err := s.play(*only); err != nil {
		fmt.Fprintln(os.Stderr, "failures:", err)
		os.Exit(1)
	}
}

// play runs the acts that only names, or all. A step that could not be taken ends it.
func (s *stage) play(only string) (err error) {
	defer func() {
		if stop, ok := recover().(stopped); ok {
			err = stop.err
		}
		s.closeAll()
	}()
	s.marker = s.actor("marker", s.binder, 0)
	for _, a := range acts {
		if only == "" || slices.Contains(strings.Split(only, ","), a.name) {
			a.play(s)
		}
	}
	return nil
}
