// SPDX-License-Identifier: Apache-2.0

// Package vsock is the virtio socket device: stream sockets between programs in
// the guest (AF_VSOCK) and Unix sockets on the host, in the form that Firecracker
// made known as "hybrid".
//
//   - Host to guest: connect to the Unix socket PATH, send "CONNECT <port>\n". When a
//     program in the guest accepts, the answer is "OK <local port>\n", and from there
//     on the connection is the stream. If nobody listens the connection is closed.
//   - Guest to host: a connect to CID 2, port P, becomes a connect to the Unix socket
//     PATH_P. If nobody listens there the guest gets ECONNRESET.
//
// # The protocol in a paragraph
//
// Packets have a 44-byte header and travel in two queues: the guest's on the tx
// queue, ours on the rx queue, into buffers the guest put there. REQUEST is answered
// by RESPONSE or RST. RW carries data. Each side has a receive buffer per connection
// and says in every packet how large it is (buf_alloc) and how much has been
// taken out of it so far (fwd_cnt); the other side never has more in flight than
// that. SHUTDOWN says that one or both directions are over, and RST ends the connection.
//
// # Who runs where
//
// A doorbell, often in a vCPU's thread, never waits for a Unix socket. Per
// connection, one goroutine reads the socket and one writes it:
//
//	guest -> host: Notify(tx) copies a packet into conn.in  ->  writeLoop -> socket
//	host -> guest: socket -> readLoop -> conn.out  ->  pump puts packets on the rx queue
//
// pump runs wherever something became possible: data came from a socket, the guest
// gave rx buffers (Notify(rx)), or credit. All state is under Device.mu; goroutines
// wait on their connection's condition variable.
//
// # A hostile guest
//
// It can make at most MaxConns connections, each of which holds at most two buffers
// of BufSize; data beyond the credit we gave resets the connection; answers that
// wait for rx buffers are bounded (maxResets), and beyond that the tx queue is left
// alone until the guest gives some. A malformed packet is dropped and its chain
// still answered.
//
// # Locks
//
// Device.mu, then the queues' leaves. Nothing blocks while it is held; the guest's
// memory is copied under it, at most a packet at a time.
package vsock
