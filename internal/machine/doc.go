// SPDX-License-Identifier: Apache-2.0

// Package machine makes the machines of one process out of their description
// (config.Config) and runs them: runtime directories, consoles, devices, the way of
// failure reports, the control API, and package vmm under it all.
//
// While a machine runs its directory (package rundir) holds the pid file, which is
// locked, its sockets and its logs; the logs stay after the end, until the next
// machine of that name.
//
// Several machines share nothing but the process. One that ends leaves the others
// running.
package machine
