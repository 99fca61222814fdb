// SPDX-License-Identifier: Apache-2.0

// Package agentclient runs commands in a guest: the host's end of package
// agentproto, over a VM's hybrid vsock socket.
//
//	c, err := agentclient.Dial(filepath.Join(rundir.VM("demo"), rundir.VsockSocket))
//	code, err := c.Exec(ctx, agentclient.Cmd{Path: "service", Args: []string{"list"}, Stdout: os.Stdout})
//
// A Client holds no connection; each request makes its own. All its methods may be
// called from several goroutines.
package agentclient
