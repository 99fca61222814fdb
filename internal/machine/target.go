// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"fmt"
	"io"
	"os"

	"virtbinder/internal/config"
)

// target is where a console leads, besides those who attach to it.
type target struct {
	in  io.Reader // nil if nothing can be typed there
	out []io.Writer
}

// openTarget opens what c says; it is closed with the machine.
func (m *Machine) openTarget(c config.Console) (target, error) {
	switch c.To {
	case config.Stdio:
		return target{m.host.In, []io.Writer{m.host.Out}}, nil
	case config.File:
		f, err := os.OpenFile(c.Path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644)
		if err != nil {
			return target{}, fmt.Errorf("console: %w", err)
		}
		m.opened.add(f.Close)
		return target{nil, []io.Writer{f}}, nil
	}
	return target{}, nil
}
