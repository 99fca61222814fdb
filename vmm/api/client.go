// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"virtbinder/internal/rundir"
)

// ConsoleProtocol is what a connection is upgraded to for a console.
const ConsoleProtocol = "virtbinder-console"

// Client asks one VM. Its methods may be called from any goroutine.
type Client struct {
	name   string
	socket string
	http   http.Client
}

// Find makes a client of the VM called name; "" is the only one that runs.
func Find(name string) (*Client, error) {
	if name != "" {
		if err := rundir.CheckName(name); err != nil {
			return nil, err
		}
	}
	all, err := rundir.All()
	if err != nil {
		return nil, err
	}
	var running []string
	for _, vm := range all {
		switch {
		case vm.State == rundir.Running && (name == "" || vm.Name == name):
			running = append(running, vm.Name)
			if name == vm.Name {
				return NewClient(vm.Name, filepath.Join(vm.Dir, rundir.APISocket)), nil
			}
		case vm.State == rundir.Stale && vm.Name == name:
			return nil, fmt.Errorf("VM %q does not run any more: its process (pid %d) was killed", name, vm.PID)
		}
	}
	switch {
	case name != "":
		return nil, fmt.Errorf("VM %q does not run: start it with virtbinder boot --name %s", name, name)
	case len(running) == 0:
		return nil, errors.New("no VM runs: start one with virtbinder boot")
	case len(running) > 1:
		return nil, fmt.Errorf("several VMs run, name one of them: %s", strings.Join(running, ", "))
	}
	return Find(running[0])
}

// NewClient makes a client of the VM called name at a socket.
func NewClient(name, socket string) *Client {
	c := &Client{name: name, socket: socket}
	c.http.Transport = &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return c.dial(ctx)
	}}
	return c
}

// Name is the VM's.
func (c *Client) Name() string { return c.name }

// VM says what the VM is and does.
func (c *Client) VM(ctx context.Context) (vm VM, err error) {
	return vm, c.do(ctx, http.MethodGet, "vm", nil, &vm)
}

// Config is the VM's resolved configuration, as JSON.
func (c *Client) Config(ctx context.Context) (doc json.RawMessage, err error) {
	return doc, c.do(ctx, http.MethodGet, "vm/config", nil, &doc)
}

// Pause holds the VM's processors; it returns when they are held.
func (c *Client) Pause(ctx context.Context) (vm VM, err error) {
	return vm, c.do(ctx, http.MethodPost, "vm/pause", nil, &vm)
}

// Resume lets them go on.
func (c *Client) Resume(ctx context.Context) (vm VM, err error) {
	return vm, c.do(ctx, http.MethodPost, "vm/resume", nil, &vm)
}

// Stop asks for the VM's end and does not wait for it; Events tells of it.
func (c *Client) Stop(ctx context.Context, how Stop) (vm VM, err error) {
	return vm, c.do(ctx, http.MethodPost, "vm/stop", how, &vm)
}

// Events calls yield with what has happened to the VM since its start and then with
// what happens, until the VM's end, the end of ctx, or yield's false.
func (c *Client) Events(ctx context.Context, failures bool, yield func(Event) bool) error {
	path := "vm/events"
	if !failures {
		path += "?failures=0"
	}
	resp, err := c.send(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	for d := json.NewDecoder(resp.Body); ; {
		var e Event
		switch err := d.Decode(&e); {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil
		case err != nil:
			return c.wrap(err)
		case !yield(e):
			return nil
		}
	}
}

// Console attaches to a console: what the guest printed last comes first, then the
// stream of what it prints; what is written goes to the guest.
func (c *Client) Console(ctx context.Context, index int) (net.Conn, error) {
	conn, err := c.dial(ctx)
	if err != nil {
		return nil, c.wrap(err)
	}
	in, err := c.upgrade(ctx, conn, index)
	if err != nil {
		conn.Close()
		return nil, err
	}
	return &upgraded{conn, in}, nil
}

func (c *Client) upgrade(ctx context.Context, conn net.Conn, index int) (*bufio.Reader, error) {
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	r, err := http.NewRequest(http.MethodGet, "http://vm/v1/vm/consoles/"+strconv.Itoa(index), nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", ConsoleProtocol)
	if err := r.Write(conn); err != nil {
		return nil, c.wrap(err)
	}
	in := bufio.NewReader(conn)
	resp, err := http.ReadResponse(in, r)
	if err != nil {
		return nil, c.wrap(err)
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		defer resp.Body.Close()
		return nil, c.failure(resp)
	}
	return in, nil
}

// upgraded is a connection whose first bytes were read already.
type upgraded struct {
	net.Conn
	in *bufio.Reader
}

// Read reads those first.
func (u *upgraded) Read(p []byte) (int, error) { return u.in.Read(p) }

// StateQuery chooses from a BinderState.
type StateQuery struct {
	PID          uint32 // only this process; 0: all
	Transactions bool   // only what has to do with transactions on their way
}

// BinderState asks what binder processes have and do.
func (c *Client) BinderState(ctx context.Context, q StateQuery) (doc BinderState, err error) {
	query := url.Values{}
	if q.PID != 0 {
		query.Set("pid", strconv.FormatUint(uint64(q.PID), 10))
	}
	if q.Transactions {
		query.Set("transactions", "1")
	}
	return doc, c.do(ctx, http.MethodGet, "binder/state?"+query.Encode(), nil, &doc)
}

// BinderStats asks for the counts of commands and objects.
func (c *Client) BinderStats(ctx context.Context) (doc BinderStats, err error) {
	return doc, c.do(ctx, http.MethodGet, "binder/stats", nil, &doc)
}

// BinderLog asks for the last transactions, or those that failed.
func (c *Client) BinderLog(ctx context.Context, failed bool) (doc BinderLog, err error) {
	path := "binder/log"
	if failed {
		path += "?failed=1"
	}
	return doc, c.do(ctx, http.MethodGet, path, nil, &doc)
}

// Metrics asks for all that is measured.
func (c *Client) Metrics(ctx context.Context) (doc Metrics, err error) {
	return doc, c.do(ctx, http.MethodGet, "metrics", nil, &doc)
}

// Profile watches for so many seconds where the VM's process spends its processor time,
// and returns that in pprof's format. seconds is from 1 to 600.
func (c *Client) Profile(ctx context.Context, seconds uint32) ([]byte, error) {
	resp, err := c.send(ctx, http.MethodGet, "profile?seconds="+strconv.FormatUint(uint64(seconds), 10), nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, c.wrap(err)
	}
	return b, nil
}

// do asks for a path under /v1/ and decodes the answer into doc.
func (c *Client) do(ctx context.Context, method, path string, body, doc any) error {
	resp, err := c.send(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(doc); err != nil {
		return fmt.Errorf("VM %s: its answer: %w", c.name, err)
	}
	return nil
}

// send sends a request. The answer's body is the caller's to close.
func (c *Client) send(ctx context.Context, method, path string, body any) (*http.Response, error) {
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		in = bytes.NewReader(b)
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://vm/v1/"+path, in)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return nil, c.wrap(err)
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		return nil, c.failure(resp)
	}
	return resp, nil
}

func (c *Client) dial(ctx context.Context) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "unix", c.socket)
}

// wrap says what an error of the socket means.
func (c *Client) wrap(err error) error {
	switch {
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("VM %s belongs to another user: run this as its owner or as root", c.name)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("VM %s does not run any more: its process left its socket behind", c.name)
	}
	return fmt.Errorf("VM %s: %w", c.name, err)
}

// maxFailure bounds what is read of an answer that is none, in bytes.
const maxFailure = 64 << 10

// failure is the error in an answer.
func (c *Client) failure(resp *http.Response) error {
	f := &Failure{}
	if json.NewDecoder(io.LimitReader(resp.Body, maxFailure)).Decode(f) != nil || f.Text == "" {
		f.Text = resp.Status
	}
	return fmt.Errorf("VM %s: %w", c.name, f)
}
