// SPDX-License-Identifier: Apache-2.0

package config

import (
	"encoding"
	"errors"

	"github.com/goccy/go-yaml/ast"
)

// UnmarshalYAML gives what the file leaves out its default.
func (v *VM) UnmarshalYAML(decode func(any) error) error {
	type plain VM
	p := plain(DefaultVM())
	if err := decode(&p); err != nil {
		return err
	}
	*v = VM(p)
	return nil
}

// UnmarshalYAML gives what the file leaves out its default.
func (f *Forward) UnmarshalYAML(decode func(any) error) error {
	type plain Forward
	p := plain{Proto: "tcp"}
	if err := decode(&p); err != nil {
		return err
	}
	*f = Forward(p)
	return nil
}

// UnmarshalYAML reads the size's text.
func (s *Size) UnmarshalYAML(n ast.Node) error { return unmarshalText(n, s) }

// UnmarshalYAML reads the duration's text.
func (d *Duration) UnmarshalYAML(n ast.Node) error { return unmarshalText(n, d) }

// UnmarshalYAML reads the level's name.
func (l *Level) UnmarshalYAML(n ast.Node) error { return unmarshalText(n, l) }

// unmarshalText gives a scalar's text to v, and errors their place.
func unmarshalText(n ast.Node, v encoding.TextUnmarshaler) error {
	if _, ok := n.(ast.ScalarNode); !ok {
		return &textError{n.GetToken(), errors.New("want one value, not a list or a mapping")}
	}
	if err := v.UnmarshalText([]byte(n.GetToken().Value)); err != nil {
		return &textError{n.GetToken(), err}
	}
	return nil
}
