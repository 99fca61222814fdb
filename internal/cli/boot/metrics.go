// SPDX-License-Identifier: Apache-2.0

package boot

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
)

// metrics answers GET /metrics with what failed and what was lost of it, in
// Prometheus' text format.
func (f *failures) metrics(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	f.writeMetrics(w)
}

func (f *failures) writeMetrics(w io.Writer) {
	fmt.Fprint(w, "# HELP virtbinder_failures_total Failed transactions by BR code, and what the kernel would not report by its kind.\n"+
		"# TYPE virtbinder_failures_total counter\n")
	counts := f.journal.Counts()
	for _, kind := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(w, "virtbinder_failures_total{vm=%q,kind=%q} %d\n", f.vm, kind, counts[kind])
	}
	s := f.emitter.Stats()
	for _, c := range []struct {
		name, help string
		value      uint64
	}{
		{"sent", "Reports handed to netlink.", s.Sent},
		{"dropped", "Reports that found the emitter's ring full.", s.Dropped},
		{"refused", "Reports that netlink refused.", s.SendErrors},
		{"lost_by_clients", "Reports that slow clients of the reports' unix socket lost.", s.ClientLost},
	} {
		name := "virtbinder_reports_" + c.name + "_total"
		fmt.Fprintf(w, "# HELP %s %s\n# TYPE %s counter\n%s{vm=%q} %d\n", name, c.help, name, name, f.vm, c.value)
	}
}
