// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"virtbinder/internal/config"
	"virtbinder/internal/console"
	"virtbinder/internal/hardware"
	"virtbinder/internal/rundir"
	"virtbinder/vmm"
	"virtbinder/vmm/chardev"
)

// openConsoles makes a hub for each console and leads them where they are to lead.
// What a console prints is kept in a log as well, from the first byte on.
func (m *Machine) openConsoles() (serial vmm.Console, err error) {
	serial.Out = []io.Writer{m.dir.consoleLog}
	hvcs := 0
	for i := range m.cfg.Consoles {
		c := &m.cfg.Consoles[i]
		name := "serial"
		if c.Type == config.HVC {
			name = fmt.Sprintf("hvc%d", hvcs)
			hvcs++
		}
		hub := console.NewHub()
		m.opened.add(hub.Close)
		m.consoles = append(m.consoles, hub)
		out, err := m.openTarget(c, name, hub)
		if err != nil {
			return serial, fmt.Errorf("consoles[%d]: %w", i, err)
		}
		if c.Type == config.Serial {
			serial.In, serial.Out = hub, append(serial.Out, out...)
			continue
		}
		kept, err := m.dir.openLog(rundir.HVCLog(hvcs-1), 0o644)
		if err != nil {
			return serial, err
		}
		m.ports = append(m.ports, hardware.Port{In: hub, Out: tee(append(out, kept))})
	}
	return serial, nil
}

// openTarget opens where c leads, besides those who attach to its hub, and begins to
// read what is typed there. It is closed with the machine.
func (m *Machine) openTarget(c *config.Console, name string, hub *console.Hub) (out []io.Writer, err error) {
	out = []io.Writer{hub}
	var d *chardev.Device
	switch c.To {
	case config.None:
		return out, nil
	case config.Stdio:
		go hub.Type(m.host.In)
		return append(out, m.host.Out), nil
	case config.File:
		d, err = chardev.OpenFile(c.Path)
	case config.PTY:
		if c.Path == "" {
			c.Path = filepath.Join(m.dir.path, name+".pty")
		}
		d, err = chardev.OpenPTY(c.Path)
	case config.Unix:
		d, err = chardev.ListenUnix(c.Path)
	}
	if err != nil {
		return nil, err
	}
	m.opened.add(d.Close)
	if d.In != nil {
		go hub.Type(d.In)
	}
	return append(out, d.Out), nil
}

// tee writes to several writers. One that fails is left out from then on.
func tee(writers []io.Writer) io.Writer { return &teeWriter{writers} }

type teeWriter struct{ writers []io.Writer }

// Write never fails.
func (t *teeWriter) Write(p []byte) (int, error) {
	live := t.writers[:0]
	for _, w := range t.writers {
		if _, err := w.Write(p); err == nil {
			live = append(live, w)
		}
	}
	t.writers = live
	return len(p), nil
}

// openLog makes a log in the directory, which keeps the beginning of what is written.
func (c *claimed) openLog(name string, mode os.FileMode) (io.Writer, error) {
	f, err := os.OpenFile(filepath.Join(c.path, name), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, mode)
	if err != nil {
		return nil, fmt.Errorf("log of VM %s: %w", filepath.Base(c.path), err)
	}
	c.files = append(c.files, f)
	return &cappedWriter{w: f, left: logLimit}, nil
}
