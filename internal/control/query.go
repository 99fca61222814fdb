// SPDX-License-Identifier: Apache-2.0

package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"virtbinder/vmm/api"
)

// checkQuery says what of a query there is no parameter for, or what is none of its
// values.
func checkQuery(r *http.Request, known []Param) error {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return &api.Failure{Text: fmt.Sprintf("the query: %v", err)}
	}
	for name, values := range q {
		i := slices.IndexFunc(known, func(p Param) bool { return p.Name == name })
		switch {
		case i < 0:
			return &api.Failure{Field: name, Text: fmt.Sprintf("%.100s: there is no such parameter%s", name, listed(known))}
		case len(values) > 1:
			return &api.Failure{Field: name, Text: fmt.Sprintf("%s: given %d times", name, len(values))}
		case known[i].Flag && values[0] != "0" && values[0] != "1":
			return &api.Failure{Field: name, Text: fmt.Sprintf("%s=%.100s: give 0 or 1", name, values[0])}
		}
		if n, err := strconv.ParseUint(values[0], 10, 32); !known[i].Flag && (err != nil || n == 0) {
			return &api.Failure{Field: name, Text: fmt.Sprintf("%s=%.100s: give a number from 1 to 4294967295", name, values[0])}
		}
	}
	return nil
}

func listed(known []Param) string {
	if len(known) == 0 {
		return ", and no other"
	}
	names := make([]string, len(known))
	for i, p := range known {
		names[i] = p.Name
	}
	return "; there are " + strings.Join(names, ", ")
}

// flag is the value of a parameter that checkQuery has let pass.
func flag(r *http.Request, name string) bool { return r.URL.Query().Get(name) == "1" }

// number is likewise; 0 if it is not given.
func number(r *http.Request, name string) uint32 {
	n, _ := strconv.ParseUint(r.URL.Query().Get(name), 10, 32)
	return uint32(n)
}

// body reads the request's JSON object into doc; none leaves it as it is.
func body(r *http.Request, doc any) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	err := d.Decode(doc)
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err == nil {
		if _, more := d.Token(); more != io.EOF {
			err = errors.New("more than one JSON document")
		}
	}
	return bodyError(err)
}

// bodyError names the field that err is about.
func bodyError(err error) error {
	if err == nil {
		return nil
	}
	f := &api.Failure{Text: fmt.Sprintf("the request's body: %.200s", strings.TrimPrefix(err.Error(), "json: "))}
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		f.Field = wrong.Field
	} else if _, name, ok := strings.Cut(err.Error(), `unknown field "`); ok {
		f.Field = strings.TrimSuffix(name, `"`)
	}
	return f
}
