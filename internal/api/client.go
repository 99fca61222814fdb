// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"virtbinder/internal/rundir"
)

// Client asks one VM.
type Client struct {
	name string
	http http.Client
}

// Find makes a client of the VM called name; "" is the only one that runs.
func Find(name string) (*Client, error) {
	running := map[string]string{} // socket by name
	var names []string
	for _, base := range rundir.Search() {
		all, err := rundir.List(base)
		if err != nil {
			return nil, err
		}
		for _, vm := range all {
			socket := filepath.Join(base, vm, rundir.APISocket)
			if _, err := os.Stat(socket); err == nil && running[vm] == "" {
				running[vm], names = socket, append(names, vm)
			}
		}
	}
	switch {
	case name != "" && running[name] != "":
	case name != "":
		if err := rundir.CheckName(name); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("VM %q does not run: start it with virtbinder boot --name %s", name, name)
	case len(names) == 1:
		name = names[0]
	case len(names) == 0:
		return nil, errors.New("no VM runs: start one with virtbinder boot")
	default:
		return nil, fmt.Errorf("several VMs run, name one of them: %s", strings.Join(names, ", "))
	}
	return NewClient(name, running[name]), nil
}

// NewClient makes a client of the VM called name at a socket.
func NewClient(name, socket string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}
	return &Client{name: name, http: http.Client{Transport: &http.Transport{DialContext: dial}}}
}

// Get asks for a path under /v1/ and decodes the answer into doc.
func (c *Client) Get(ctx context.Context, path string, doc any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://vm/v1/"+path, nil)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(r)
	switch {
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("VM %s belongs to another user: run this as its owner or as root", c.name)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("VM %s does not run any more: its process left its socket behind", c.name)
	case err != nil:
		return fmt.Errorf("VM %s: %w", c.name, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		var f failure
		if json.NewDecoder(resp.Body).Decode(&f) != nil || f.Error == "" {
			f.Error = resp.Status
		}
		return fmt.Errorf("VM %s: %s", c.name, f.Error)
	}
	if err := json.NewDecoder(resp.Body).Decode(doc); err != nil {
		return fmt.Errorf("VM %s: its answer: %w", c.name, err)
	}
	return nil
}
