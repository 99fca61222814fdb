// SPDX-License-Identifier: Apache-2.0

// Package server is the agent without its boot: it serves package agentproto on a
// net.Listener, runs commands and reaps processes. It does not care whether it
// runs in a guest as PID 1 or in a test.
//
// # Who waits for children
//
// PID 1 inherits every orphan, and wait4(-1) takes anyone's exit status, so there must
// be one waiter for all: Reaper. A command is started under its lock and
// entered in its table, so that its status cannot arrive before its entry.
package server
