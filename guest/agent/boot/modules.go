// SPDX-License-Identifier: Apache-2.0

package boot

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/ulikunitz/xz"
	"golang.org/x/sys/unix"
)

// ModuleList is where the modules to load are named.
const ModuleList = "/etc/virtbinder/modules"

// Module is one line of the module list: a file, and parameters for it. A line that
// begins with '-' names a module that may be missing or fail.
type Module struct {
	Path     string
	Params   string
	Optional bool
}

// ParseModules reads a module list. Empty lines and lines that begin with '#' say
// nothing.
func ParseModules(r io.Reader) ([]Module, error) {
	var list []Module
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		var m Module
		if m.Optional = line[0] == '-'; m.Optional {
			line = line[1:]
		}
		path, params, _ := strings.Cut(line, " ")
		m.Path, m.Params = path, strings.TrimSpace(params)
		if !strings.HasPrefix(path, "/") {
			return list, fmt.Errorf("line %d: %q is not an absolute path", n, path)
		}
		list = append(list, m)
	}
	return list, lines.Err()
}

// LoadModules loads what the list at path names, in order, and returns what failed.
// A guest without a list needs no modules.
func LoadModules(path string) (failures []error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return []error{err}
	}
	defer f.Close()
	list, err := ParseModules(f)
	if err != nil {
		failures = append(failures, fmt.Errorf("%s: %w", path, err))
	}
	for _, m := range list {
		if err := load(m); err != nil && !m.Optional {
			failures = append(failures, err)
		}
	}
	return failures
}

// load loads one module; one that is there already is fine.
func load(m Module) error {
	f, err := os.Open(m.Path)
	if err != nil {
		return fmt.Errorf("module: %w", err)
	}
	defer f.Close()
	if strings.HasSuffix(m.Path, ".xz") {
		err = initCompressed(f, m.Params)
	} else {
		err = unix.FinitModule(int(f.Fd()), m.Params, 0)
	}
	if err == nil || errors.Is(err, unix.EEXIST) {
		return nil
	}
	return fmt.Errorf("module %s %s: %w%s", m.Path, m.Params, err, hint(err))
}

// initCompressed unpacks a module here: not every kernel can do it.
func initCompressed(f *os.File, params string) error {
	r, err := xz.NewReader(bufio.NewReader(f))
	if err != nil {
		return err
	}
	image, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	return unix.InitModule(image, params)
}

// hint says what an error of a module usually means.
func hint(err error) string {
	switch {
	case errors.Is(err, unix.ENOEXEC):
		return " (it was built for another kernel; see dmesg)"
	case errors.Is(err, unix.ENOENT):
		return " (it needs a module that is not loaded before it; see dmesg)"
	case errors.Is(err, unix.ENODEV):
		return " (it found no device)"
	}
	return ""
}
