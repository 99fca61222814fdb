// SPDX-License-Identifier: Apache-2.0

// Package boot is what PID 1 does before the agent serves: mounts, modules, host
// name, loopback; and what it does last, power off. Each step is attempted whatever
// became of the others: a guest that half works can be looked at.
package boot
