// SPDX-License-Identifier: Apache-2.0

package control

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"virtbinder/vmm/api"
)

// prometheusText writes metrics in Prometheus' text format, version 0.0.4.
func prometheusText(metrics []api.Metric) []byte {
	var b []byte
	for _, m := range metrics {
		b = fmt.Appendf(b, "# HELP %s %s\n# TYPE %s %s\n", m.Name, m.Help, m.Name, m.Type)
		for _, s := range m.Samples {
			b = append(b, m.Name...)
			b = appendLabels(b, s.Labels)
			b = append(b, ' ')
			b = strconv.AppendFloat(b, s.Value, 'f', -1, 64)
			b = append(b, '\n')
		}
	}
	return b
}

// escape does what the format wants of a label's value.
var escape = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func appendLabels(b []byte, labels map[string]string) []byte {
	open := byte('{')
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		b = fmt.Appendf(append(b, open), `%s="%s"`, name, escape.Replace(labels[name]))
		open = ','
	}
	if open == ',' {
		b = append(b, '}')
	}
	return b
}
