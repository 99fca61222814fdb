// SPDX-License-Identifier: Apache-2.0

// Package agentproto is what the guest's agent and its clients on the host say to
// each other, over any byte stream (a vsock connection to Port).
//
// A stream carries frames: one byte of type, three zero bytes, a little-endian
// 32-bit length, and that many bytes of payload, at most MaxPayload. One connection
// serves one request, which is its first frame:
//
//	client                      agent
//	Info                    ->
//	                        <-  InfoReply (JSON Info), end
//	Power (JSON Power)      ->
//	                        <-  Done, end; the machine goes down when the client has closed
//	Exec (JSON Exec)        ->
//	                        <-  Started (JSON Started), or Error (JSON Error) and end
//	Stdin, StdinEnd, Signal ->
//	                        <-  Stdout, Stderr, StdinAck
//	                        <-  Exit (JSON Exit) after all output, end
//	Push (JSON Push)        ->
//	Data, DataEnd           ->
//	                        <-  Copied (JSON treecopy.Summary), or Error at any time, end
//	Pull (JSON Pull)        ->
//	                        <-  Data
//	                        <-  Copied or Error, end
//
// Standard input has a window: a client has at most StdinWindow bytes outstanding,
// and StdinAck says how many more the command has taken. So a command that does not
// read its input never keeps a Signal from arriving. Output needs none: the stream's
// own flow control stops the command.
//
// What Data carries is a stream of package treecopy. A client that gets an Error while
// it sends stops; the agent reads on until then, so that the Error arrives.
//
// If the client's end of the stream closes before Exit, the command is hung up and then
// killed, unless it was detached.
package agentproto
