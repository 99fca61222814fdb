// SPDX-License-Identifier: Apache-2.0

package netlink

import (
	"encoding/hex"
	"net"
	"runtime"
	"testing"
)

func hexOf(b []byte) string { return hex.EncodeToString(b) }

// dialSeq connects to a report socket without this package's listener.
func dialSeq(t *testing.T, path string) *net.UnixConn {
	t.Helper()
	c, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: path, Net: "unixpacket"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func readSeq(t *testing.T, c *net.UnixConn) []byte {
	t.Helper()
	buf := make([]byte, 4096)
	n, err := c.Read(buf)
	if err != nil {
		t.Errorf("no message: %v", err)
		return nil
	}
	return buf[:n]
}

// countSeq reads one datagram: a report, or word of lost ones.
func countSeq(t *testing.T, c *net.UnixConn) (got, lost uint64) {
	b := readSeq(t, c)
	h, payload, _, err := cutMessage(b)
	if err != nil {
		t.Error(err)
		return 0, 1 << 40 // ends every loop
	}
	if n, ok := parseOverrun(h, payload); ok {
		return 0, n
	}
	if _, err := ParseMessage(b); err != nil {
		t.Error(err)
	}
	return 1, 0
}

// waitClients waits until the server knows n clients; connecting returns sooner.
func waitClients(e *Emitter, n int) {
	for e.Stats().Clients < n {
		runtime.Gosched()
	}
}
