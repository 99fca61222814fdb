// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"virtbinder/guest/agentclient"
	"virtbinder/guest/agentproto"
)

// patience bounds each wait for the guest. The nested lab on a loaded machine is
// slow; that is no failure.
const patience = 4 * time.Minute

// guest is the running guest, reached through its agent.
type guest struct {
	*agentclient.Client
	tell *teller
	log  io.Writer // every command and its output
}

// run runs a command to its end and returns its standard output. An exit code
// other than 0 is an error.
func (g *guest) run(ctx context.Context, path string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var out, errs bytes.Buffer
	exit, err := g.Exec(ctx, agentclient.Cmd{Path: path, Args: args, Stdout: &out, Stderr: &errs})
	line := strings.Join(append([]string{path}, args...), " ")
	fmt.Fprintf(g.log, "# %s\n%s%sexit %d\n", line, out.Bytes(), errs.Bytes(), exit)
	switch {
	case err != nil:
		return "", fmt.Errorf("%s: %w", line, err)
	case exit != 0:
		return out.String(), fmt.Errorf("%s ended with exit code %d: %s", line, exit, strings.TrimSpace(out.String()+errs.String()))
	}
	return out.String(), nil
}

// shown is run, printed.
func (g *guest) shown(ctx context.Context, path string, args ...string) (string, error) {
	out, err := g.run(ctx, path, args...)
	g.tell.command(strings.Join(append([]string{path}, args...), " "), []byte(out))
	return out, err
}

// program is a command that goes on running in the guest and is talked with by
// lines.
type program struct {
	name string
	*agentclient.Process
	guest *guest
	in    *io.PipeWriter

	mu    sync.Mutex
	text  bytes.Buffer  // guarded by mu: its output, standard error too
	taken int           // guarded by mu: bytes of it that await has passed
	more  chan struct{} // guarded by mu: closed when there is more output
	ended chan struct{} // closed at its end
}

// start starts a program.
func (g *guest) start(ctx context.Context, path string, args ...string) (*program, error) {
	in, w := io.Pipe()
	p := &program{name: strings.Join(append([]string{path}, args...), " "), guest: g, in: w,
		more: make(chan struct{}), ended: make(chan struct{})}
	proc, err := g.Start(ctx, agentclient.Cmd{Path: path, Args: args, Stdin: in, Stdout: p, Stderr: p})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.name, err)
	}
	p.Process = proc
	g.tell.command(p.name+" &", fmt.Appendf(nil, "pid %d", proc.PID))
	fmt.Fprintf(g.log, "# %s &\npid %d\n", p.name, proc.PID)
	go func() {
		_, _ = p.Wait()
		close(p.ended)
	}()
	return p, nil
}

// Write takes output of the program.
func (p *program) Write(b []byte) (int, error) {
	fmt.Fprintf(p.guest.log, "[%s] %s", p.name, b)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.text.Write(b)
	close(p.more)
	p.more = make(chan struct{})
	return len(b), nil
}

// next returns the next whole line that begins with prefix, passing others by.
func (p *program) next(prefix string) (line string, found bool, more <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		rest := p.text.Bytes()[p.taken:]
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			return "", false, p.more
		}
		p.taken += i + 1
		if line := string(rest[:i]); strings.HasPrefix(line, prefix) {
			return line, true, nil
		}
	}
}

// await waits for a line that begins with prefix.
func (p *program) await(ctx context.Context, prefix string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		line, found, more := p.next(prefix)
		if found {
			p.guest.tell.command(p.name+" says", []byte(line))
			return line, nil
		}
		select {
		case <-more:
		case <-p.ended:
			if line, found, _ := p.next(prefix); found {
				return line, nil
			}
			return "", fmt.Errorf("%s ended without saying %q; it said %q", p.name, prefix, p.said())
		case <-ctx.Done():
			return "", fmt.Errorf("%s did not say %q: %w; it said %q", p.name, prefix, ctx.Err(), p.said())
		}
	}
}

// ask sends a line and waits for the answer, which begins with prefix.
func (p *program) ask(ctx context.Context, line, prefix string) (string, error) {
	if err := p.send(ctx, line); err != nil {
		return "", err
	}
	return p.await(ctx, prefix)
}

// send types a line. The pipe has a reader only while the program lives.
func (p *program) send(ctx context.Context, line string) error {
	fmt.Fprintf(p.guest.log, "[%s] < %s\n", p.name, line)
	sent := make(chan error, 1)
	go func() {
		_, err := io.WriteString(p.in, line+"\n")
		sent <- err
	}()
	select {
	case err := <-sent:
		return err
	case <-p.ended:
		return fmt.Errorf("%s has ended; it said %q", p.name, p.said())
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *program) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

// alive says whether the program still runs.
func (p *program) alive() error {
	select {
	case <-p.ended:
		exit, err := p.Wait()
		return fmt.Errorf("%s has ended (%+v, %v); it said %q", p.name, exit, err, p.said())
	default:
		return nil
	}
}

// end waits for the program's end.
func (p *program) end(ctx context.Context) (agentproto.Exit, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case <-p.ended:
		return p.Wait()
	case <-ctx.Done():
		return agentproto.Exit{}, fmt.Errorf("%s goes on: %w", p.name, ctx.Err())
	}
}

// until calls f again and again until it reports true or fails.
func until(ctx context.Context, what string, f func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		if done, err := f(); done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}
