// SPDX-License-Identifier: Apache-2.0

// Command openapi writes the description of the API, vmm/api/openapi.json, from
// package control's table of routes and the Go types of its documents. It is run by
// go generate.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3gen"

	"virtbinder/internal/control"
	"virtbinder/vmm/api"
)

const file = "../../vmm/api/openapi.json"

func main() {
	if err := write(); err != nil {
		fmt.Fprintln(os.Stderr, "openapi:", err)
		os.Exit(1)
	}
}

func write() error {
	doc, err := describe(control.Routes())
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}

// describer gathers the schemas of documents.
type describer struct {
	schemas openapi3.Schemas
	gen     *openapi3gen.Generator
}

func describe(routes []control.Route) (*openapi3.T, error) {
	d := &describer{schemas: openapi3.Schemas{}}
	d.gen = openapi3gen.NewGenerator(
		openapi3gen.SchemaCustomizer(customize),
		openapi3gen.CreateComponentSchemas(openapi3gen.ExportComponentSchemasOptions{ExportComponentSchemas: true, ExportTopLevelSchema: true}),
	)
	doc := &openapi3.T{
		OpenAPI: "3.0.3",
		Info:    &openapi3.Info{Title: "virtbinder", Version: "v1", Description: "A VM's control API, on the unix socket api.sock in its runtime directory."},
		Servers: openapi3.Servers{{URL: "http://vm", Description: "the host's name is not looked at"}},
		Paths:   openapi3.NewPaths(),
	}
	for _, r := range routes {
		op, err := d.operation(r)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", r.Method, r.Path, err)
		}
		doc.AddOperation(r.Path, r.Method, op)
	}
	doc.Components = &openapi3.Components{Schemas: d.schemas}
	return doc, nil
}

func (d *describer) operation(r control.Route) (*openapi3.Operation, error) {
	op := openapi3.NewOperation()
	op.OperationID, op.Summary = r.ID, r.Summary
	for _, m := range regexp.MustCompile(`\{(\w+)\}`).FindAllStringSubmatch(r.Path, -1) {
		op.AddParameter(openapi3.NewPathParameter(m[1]).WithSchema(openapi3.NewIntegerSchema().WithMin(0)))
	}
	for _, q := range r.Query {
		schema := openapi3.NewIntegerSchema().WithMin(1).WithMax(1<<32 - 1)
		if q.Flag {
			schema = openapi3.NewIntegerSchema().WithEnum(0, 1)
		}
		op.AddParameter(openapi3.NewQueryParameter(q.Name).WithDescription(q.Summary).WithSchema(schema))
	}
	if r.Body != nil {
		schema, err := d.schema(r.Body)
		if err != nil {
			return nil, err
		}
		op.RequestBody = &openapi3.RequestBodyRef{Value: openapi3.NewRequestBody().WithContent(openapi3.NewContentWithJSONSchemaRef(schema))}
	}
	success, err := d.success(r)
	if err != nil {
		return nil, err
	}
	failure, err := d.schema(api.Failure{})
	if err != nil {
		return nil, err
	}
	op.Responses = openapi3.NewResponses(
		openapi3.WithStatus(r.Status, &openapi3.ResponseRef{Value: success}),
		openapi3.WithName("default", openapi3.NewResponse().WithDescription("It was not done.").WithJSONSchemaRef(failure)),
	)
	return op, nil
}

func (d *describer) success(r control.Route) (*openapi3.Response, error) {
	resp := openapi3.NewResponse().WithDescription(r.Summary)
	kind := r.Type
	switch {
	case r.Answer == nil && kind == "":
		return resp, nil
	case r.Answer == nil:
		return resp.WithContent(openapi3.NewContentWithSchema(openapi3.NewStringSchema(), []string{kind})), nil
	case kind == "":
		kind = "application/json"
	}
	schema, err := d.schema(r.Answer)
	if err != nil {
		return nil, err
	}
	return resp.WithContent(openapi3.NewContentWithSchemaRef(schema, []string{kind})), nil
}

func (d *describer) schema(v any) (*openapi3.SchemaRef, error) {
	return d.gen.NewSchemaRefForValue(v, d.schemas)
}

// customize corrects what the generator cannot know: Go types that write themselves
// as something else, and fields that are always there.
func customize(_ string, t reflect.Type, _ reflect.StructTag, s *openapi3.Schema) error {
	if t == reflect.TypeFor[json.RawMessage]() {
		*s = openapi3.Schema{}
	}
	if t.Kind() == reflect.Struct {
		s.Required = required(t)
	}
	return nil
}

// required lists the fields of t that are always there.
func required(t reflect.Type) (names []string) {
	for f := range t.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			names = append(names, required(f.Type)...)
		case name != "" && name != "-" && !strings.Contains(options, "omit"):
			names = append(names, name)
		}
	}
	return names
}
