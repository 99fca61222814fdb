// SPDX-License-Identifier: Apache-2.0

package agentproto

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"sync"
)

const (
	// Port is the vsock port that the agent listens on.
	Port = 1024
	// MaxPayload is the largest payload of a frame in bytes.
	MaxPayload = 1 << 20
	// MaxData is the largest payload of a stream frame that this package's users send.
	MaxData = 32 << 10
	// StdinWindow is how many bytes of standard input may be outstanding.
	StdinWindow = 256 << 10

	headerSize = 8
)

// Type says what a frame is.
type Type uint8

// The frames of a client.
const (
	TypeInfo     Type = 1
	TypePower    Type = 2 // JSON Power
	TypeExec     Type = 3 // JSON Exec
	TypeStdin    Type = 4 // bytes
	TypeStdinEnd Type = 5
	TypeSignal   Type = 6 // 32-bit number
	TypePush     Type = 7 // JSON Push
	TypePull     Type = 8 // JSON Pull
	TypeDataEnd  Type = 9
)

// The frames of the agent.
const (
	TypeInfoReply Type = 16 // JSON Info
	TypeDone      Type = 17
	TypeStarted   Type = 18 // JSON Started
	TypeStdout    Type = 19 // bytes
	TypeStderr    Type = 20 // bytes
	TypeStdinAck  Type = 21 // 32-bit count of bytes
	TypeExit      Type = 22 // JSON Exit
	TypeError     Type = 23 // JSON Error
	TypeCopied    Type = 24 // JSON treecopy.Summary
)

// TypeData is a frame of both: bytes.
const TypeData Type = 32

var typeNames = map[Type]string{
	TypeInfo: "Info", TypePower: "Power", TypeExec: "Exec", TypeStdin: "Stdin", TypeStdinEnd: "StdinEnd",
	TypeSignal: "Signal", TypeInfoReply: "InfoReply", TypeDone: "Done", TypeStarted: "Started",
	TypeStdout: "Stdout", TypeStderr: "Stderr", TypeStdinAck: "StdinAck", TypeExit: "Exit", TypeError: "Error",
	TypePush: "Push", TypePull: "Pull", TypeDataEnd: "DataEnd", TypeCopied: "Copied", TypeData: "Data",
}

func (t Type) String() string {
	if s, ok := typeNames[t]; ok {
		return s
	}
	return fmt.Sprintf("type %d", uint8(t))
}

// FrameError says that the peer sent something that is no frame of this protocol,
// or not one that fits here.
type FrameError struct{ Reason string }

func (e *FrameError) Error() string { return "agent protocol: " + e.Reason }

// Conn sends and receives frames. One goroutine may read while any number write.
type Conn struct {
	r   *bufio.Reader
	buf []byte // the last payload read

	mu sync.Mutex // held for the length of one frame written
	w  io.Writer
	wb []byte
}

// NewConn makes a Conn of a stream. Closing the stream stays with the caller.
func NewConn(rw io.ReadWriter) *Conn {
	return &Conn{r: bufio.NewReader(rw), w: rw}
}

// Read returns the next frame. The payload is good until the next Read. The error
// is io.EOF if the stream ended between frames, and a *FrameError if the peer does
// not keep to the protocol.
func (c *Conn) Read() (Type, []byte, error) {
	var h [headerSize]byte
	if _, err := io.ReadFull(c.r, h[:]); err != nil {
		return 0, nil, err
	}
	t, n := Type(h[0]), binary.LittleEndian.Uint32(h[4:])
	if _, known := typeNames[t]; !known || h[1]|h[2]|h[3] != 0 {
		return 0, nil, &FrameError{fmt.Sprintf("a frame that begins with % x", h[:4])}
	}
	if n > MaxPayload {
		return 0, nil, &FrameError{fmt.Sprintf("%s of %d bytes, more than %d", t, n, MaxPayload)}
	}
	if int(n) > cap(c.buf) {
		c.buf = make([]byte, n)
	}
	c.buf = c.buf[:n]
	if _, err := io.ReadFull(c.r, c.buf); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return 0, nil, err
	}
	return t, c.buf, nil
}

// Write sends one frame.
func (c *Conn) Write(t Type, payload []byte) error {
	if len(payload) > MaxPayload {
		return &FrameError{fmt.Sprintf("%s of %d bytes, more than %d", t, len(payload), MaxPayload)}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wb = append(c.wb[:0], byte(t), 0, 0, 0)
	c.wb = binary.LittleEndian.AppendUint32(c.wb, uint32(len(payload)))
	c.wb = append(c.wb, payload...)
	_, err := c.w.Write(c.wb)
	return err
}

// WriteJSON sends one frame with v as its payload.
func (c *Conn) WriteJSON(t Type, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("agent protocol: %s: %w", t, err)
	}
	return c.Write(t, b)
}

// WriteUint32 sends one frame with a number as its payload.
func (c *Conn) WriteUint32(t Type, v uint32) error {
	return c.Write(t, binary.LittleEndian.AppendUint32(nil, v))
}

// ParseUint32 is the number in a frame.
func ParseUint32(t Type, payload []byte) (uint32, error) {
	if len(payload) != 4 {
		return 0, &FrameError{fmt.Sprintf("%s of %d bytes, want 4", t, len(payload))}
	}
	return binary.LittleEndian.Uint32(payload), nil
}

// ParseJSON reads the payload of a frame into v. Fields that v does not have are
// ignored, so that versions can differ.
func ParseJSON(t Type, payload []byte, v any) error {
	if err := json.Unmarshal(payload, v); err != nil {
		return &FrameError{fmt.Sprintf("%s: %v", t, err)}
	}
	return nil
}
