// SPDX-License-Identifier: Apache-2.0

package agentproto

import (
	"fmt"
	"io"
)

// DataWriter returns a writer whose bytes go out in Data frames.
func (c *Conn) DataWriter() io.Writer { return dataWriter{c} }

type dataWriter struct{ c *Conn }

// Write sends p.
func (w dataWriter) Write(p []byte) (n int, err error) {
	for n < len(p) {
		part := p[n:min(len(p), n+MaxData)]
		if err := w.c.Write(TypeData, part); err != nil {
			return n, err
		}
		n += len(part)
	}
	return n, nil
}

// DataReader reads what comes in Data frames, up to the first frame of another type,
// which is the end of it.
type DataReader struct {
	c    *Conn
	left []byte // of the last frame; good until the next Conn.Read

	// Type and Payload are of the frame that ended the data, once Read has returned
	// io.EOF.
	Type    Type
	Payload []byte
}

// NewDataReader reads from c, which nobody else does meanwhile.
func NewDataReader(c *Conn) *DataReader { return &DataReader{c: c} }

// Read returns io.EOF at the frame that ends the data, and another error if the
// stream ends before.
func (r *DataReader) Read(p []byte) (int, error) {
	for len(r.left) == 0 {
		if r.Type != 0 {
			return 0, io.EOF
		}
		t, payload, err := r.c.Read()
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return 0, err
		}
		if t != TypeData {
			r.Type, r.Payload = t, payload
			return 0, io.EOF
		}
		r.left = payload
	}
	n := copy(p, r.left)
	r.left = r.left[n:]
	return n, nil
}

// End reads what is left of the data, and says whether want ended it.
func (r *DataReader) End(want Type) error {
	if _, err := io.Copy(io.Discard, r); err != nil {
		return err
	}
	if r.Type != want {
		return &FrameError{fmt.Sprintf("%s, where %s ends the data", r.Type, want)}
	}
	return nil
}
