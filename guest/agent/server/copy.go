// SPDX-License-Identifier: Apache-2.0

package server

import (
	"errors"

	"virtbinder/guest/agentproto"
	"virtbinder/guest/treecopy"
)

// push takes a file or a directory. After an error it reads on, so that the client
// gets to hear of it; that stops sending then.
func (s *Server) push(pc *agentproto.Conn, payload []byte) error {
	var req agentproto.Push
	if err := agentproto.ParseJSON(agentproto.TypePush, payload, &req); err != nil {
		return err
	}
	if err := req.Check(); err != nil {
		return err
	}
	data := agentproto.NewDataReader(pc)
	summary, err := receive(data, req)
	if err != nil {
		if err := copyError(pc, err); err != nil {
			return err
		}
		return data.End(agentproto.TypeDataEnd)
	}
	if err := data.End(agentproto.TypeDataEnd); err != nil {
		return err
	}
	return pc.WriteJSON(agentproto.TypeCopied, summary)
}

func receive(data *agentproto.DataReader, req agentproto.Push) (treecopy.Summary, error) {
	dst, err := treecopy.Target(req.Path, req.Name)
	if err != nil {
		return treecopy.Summary{}, err
	}
	return treecopy.Unpack(data, dst)
}

// pull sends a file or a directory.
func (s *Server) pull(pc *agentproto.Conn, payload []byte) error {
	var req agentproto.Pull
	if err := agentproto.ParseJSON(agentproto.TypePull, payload, &req); err != nil {
		return err
	}
	if err := req.Check(); err != nil {
		return err
	}
	summary, err := treecopy.Pack(pc.DataWriter(), req.Path)
	if err != nil {
		return copyError(pc, err)
	}
	return pc.WriteJSON(agentproto.TypeCopied, summary)
}

// copyError tells the client; a client that breaks the protocol is told elsewhere.
func copyError(pc *agentproto.Conn, err error) error {
	var fe *agentproto.FrameError
	if errors.As(err, &fe) {
		return err
	}
	return pc.WriteJSON(agentproto.TypeError, agentproto.Error{Kind: agentproto.ErrCopy, Message: err.Error()})
}
