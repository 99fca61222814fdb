// SPDX-License-Identifier: Apache-2.0

package oracle

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
)

// Line is what the part in the guest says, as JSON.
type Line struct {
	Scenario   string `json:"scenario,omitempty"`
	System     string `json:"system,omitempty"`     // "virtbinder" or "stock"
	Begin      bool   `json:"begin,omitempty"`      // it begins; the fields below come at its end
	Transcript string `json:"transcript,omitempty"` //
	Error      string `json:"error,omitempty"`      // it was cut short: the machine broke, not just behaved
	NA         string `json:"na,omitempty"`         // why the scenario cannot be compared here
	End        bool   `json:"end,omitempty"`        // there are no more

	Program *ProgramLine `json:"program,omitempty"` // instead: a random program
}

// ProgramLine is a random program that begins, or one that has been run on both.
type ProgramLine struct {
	Seed   uint64 `json:"seed"`
	Result string `json:"result,omitempty"` // equal, different, unstable; empty: it begins
	Steps  int    `json:"steps,omitempty"`  // that were needed for a difference
	Diff   string `json:"diff,omitempty"`   // of what those leave
	Theirs string `json:"theirs,omitempty"` // the stock driver's transcript of them
	Source string `json:"source,omitempty"` // what they are, roughly
}

// readLines calls f with each line until the reader ends.
func readLines(r io.Reader, f func(Line)) error {
	s := bufio.NewScanner(r)
	s.Buffer(nil, 64<<20)
	for s.Scan() {
		var l Line
		if err := json.Unmarshal(s.Bytes(), &l); err != nil {
			return fmt.Errorf("the guest's part said %.200q: %w", s.Bytes(), err)
		}
		f(l)
	}
	return s.Err()
}
