// SPDX-License-Identifier: Apache-2.0

package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// maxFile bounds a configuration file, in bytes.
const maxFile = 1 << 20

// Source is a file that was read. It knows the lines of fields.
type Source struct {
	name string
	body ast.Node // nil if the file is empty
}

// Load reads a file. What it leaves out has its default; nothing was resolved or
// checked yet.
func Load(path string) (Config, *Source, error) {
	f, err := os.Open(path)
	if err != nil {
		return Config{}, nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return Config{}, nil, err
	}
	return Parse(path, text)
}

// Parse is Load for a file's text.
func Parse(name string, text []byte) (Config, *Source, error) {
	s := &Source{name: name}
	if len(text) > maxFile {
		return Config{}, nil, &Error{File: name, Text: fmt.Sprintf("larger than %d KiB: this is no configuration", maxFile>>10)}
	}
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		return Config{}, nil, s.locate(err)
	}
	c := Default()
	switch {
	case len(file.Docs) > 1:
		return Config{}, nil, &Error{File: name, Line: file.Docs[1].GetToken().Position.Line, Text: "a second document: put all machines into one, under vms"}
	case len(file.Docs) == 0 || file.Docs[0].Body == nil:
		return c, s, nil
	}
	s.body = file.Docs[0].Body
	if err := s.checkNodes(); err != nil {
		return Config{}, nil, err
	}
	if err := yaml.NodeToValue(s.body, &c, yaml.DisallowUnknownField()); err != nil {
		return Config{}, nil, s.explain(err)
	}
	return c, s, nil
}

// checkNodes refuses what could make a small file large.
func (s *Source) checkNodes() error {
	var err error
	s.walk(func(n ast.Node) {
		switch n.Type() {
		case ast.AnchorType, ast.AliasType, ast.MergeKeyType, ast.TagType:
			if err == nil {
				err = &Error{File: s.name, Line: n.GetToken().Position.Line, Field: fieldOf(n), Text: "anchors, aliases, merge keys and tags are not used here: write the value out"}
			}
		}
	})
	return err
}

// explain is locate; of an unknown field it says what exists.
func (s *Source) explain(err error) error {
	located := s.locate(err)
	var unknown *yaml.UnknownFieldError
	var e *Error
	if !errors.As(err, &unknown) || !errors.As(located, &e) {
		return located
	}
	parent, name := "", e.Field
	if i := strings.LastIndexByte(e.Field, '.'); i >= 0 {
		parent, name = e.Field[:i], e.Field[i+1:]
	}
	e.Text = fmt.Sprintf("there is no field %q; there are %s", name, strings.Join(fieldsAt(reflect.TypeFor[Config](), parent), ", "))
	return e
}

// fieldsAt lists the fields of what a path leads to in t.
func fieldsAt(t reflect.Type, path string) []string {
	for step := range strings.FieldsFuncSeq(path, func(r rune) bool { return r == '.' || r == '[' }) {
		t = element(t)
		if strings.HasSuffix(step, "]") {
			continue // element did it
		}
		for f := range t.Fields() {
			if jsonName(f) == step {
				t = f.Type
				break
			}
		}
	}
	t = element(t)
	var names []string
	if t.Kind() == reflect.Struct {
		for f := range t.Fields() {
			names = append(names, jsonName(f))
		}
	}
	slices.Sort(names)
	return names
}

// element is what a pointer or a list is of.
func element(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	return t
}

func jsonName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}

// Locate adds file and line to the Errors of Resolve.
func (s *Source) Locate(err error) error {
	for _, e := range Fields(err) {
		e.File, e.Line = s.name, s.lineOf(e.Field)
	}
	return err
}

// YAML writes the configuration as Load reads it.
func (c *Config) YAML() ([]byte, error) {
	var b bytes.Buffer
	err := yaml.NewEncoder(&b, yaml.IndentSequence(true)).Encode(c)
	return b.Bytes(), err
}
