// SPDX-License-Identifier: Apache-2.0

package bench

// traceStats is what there is to a processor's buffer.
const traceStats = "entries: 5\noverrun: 0\ncommit overrun: 0\n"
