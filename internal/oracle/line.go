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
}

// lineWriter prints Lines.
type lineWriter struct{ enc *json.Encoder }

func newLineWriter(w io.Writer) *lineWriter { return &lineWriter{json.NewEncoder(w)} }

func (w *lineWriter) write(l Line) error { return w.enc.Encode(l) }

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
