// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// Error is one thing that is wrong with a field.
type Error struct {
	File  string // empty unless the field is in one
	Line  int    // 0 if unknown
	Field string // as vms[0].disks[1].path; empty for a file as a whole
	Text  string
}

func (e *Error) Error() string {
	var parts []string
	if e.File != "" {
		at := e.File
		if e.Line > 0 {
			at = fmt.Sprintf("%s:%d", e.File, e.Line)
		}
		parts = append(parts, at)
	}
	if e.Field != "" {
		parts = append(parts, e.Field)
	}
	return strings.Join(append(parts, e.Text), ": ")
}

// Fields lists the Errors in err, which joins them.
func Fields(err error) []*Error {
	var e *Error
	switch joined := err.(type) {
	case interface{ Unwrap() []error }:
		var all []*Error
		for _, one := range joined.Unwrap() {
			all = append(all, Fields(one)...)
		}
		return all
	default:
		if errors.As(err, &e) {
			return []*Error{e}
		}
		return nil
	}
}

// textError is an error of a value that is a text, with the place of the text.
type textError struct {
	at  *token.Token
	err error
}

func (e *textError) Error() string { return e.err.Error() }

// locate makes an Error of what the YAML library says.
func (s *Source) locate(err error) error {
	e := &Error{File: s.name, Text: err.Error()}
	var text *textError
	var lib yaml.Error
	switch {
	case errors.As(err, &text):
		s.place(e, text.at)
	case errors.As(err, &lib):
		e.Text = lib.GetMessage()
		s.place(e, lib.GetToken())
	}
	return e
}

// place fills in line and field of a token.
func (s *Source) place(e *Error, at *token.Token) {
	if at == nil {
		return
	}
	e.Line = at.Position.Line
	s.walk(func(n ast.Node) {
		if n.GetToken() == at && e.Field == "" {
			e.Field = fieldOf(n)
		}
	})
}

// lineOf is the line of a field, or of the nearest one around it that the file has.
func (s *Source) lineOf(field string) int {
	for field != "" {
		line := 0
		s.walk(func(n ast.Node) {
			if fieldOf(n) == field && line == 0 {
				line = n.GetToken().Position.Line
			}
		})
		if line > 0 {
			return line
		}
		field = field[:max(strings.LastIndexAny(field, ".["), 0)]
	}
	return 0
}

// fieldOf is a node's path without what the library begins it with.
func fieldOf(n ast.Node) string {
	return strings.TrimPrefix(strings.TrimPrefix(n.GetPath(), "$"), ".")
}

func (s *Source) walk(f func(ast.Node)) {
	if s.body != nil {
		ast.Walk(visitor(f), s.body)
	}
}

type visitor func(ast.Node)

// Visit goes on everywhere.
func (v visitor) Visit(n ast.Node) ast.Visitor {
	v(n)
	return v
}
