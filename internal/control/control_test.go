// SPDX-License-Identifier: Apache-2.0

package control_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers/legacy"
	"github.com/google/pprof/profile"

	"virtbinder/driver"
	"virtbinder/driver/uapi"
	"virtbinder/internal/control"
	"virtbinder/internal/control/controltest"
	"virtbinder/vmm/api"
)

// env is a world around a core that nothing comes out of.
type env struct{ driver.Env }

func (env) Complete(*driver.Exec, *driver.Request) {}
func (env) Report(driver.Report)                   {}

// newMachine has one process and a call to nobody, answered.
func newMachine(t testing.TB) *controltest.Machine {
	t.Helper()
	m := controltest.New("a")
	m.BinderVM = driver.New(driver.Config{}).NewVM("a", env{})
	ctx, err := m.BinderVM.NewContext("binder")
	if err != nil {
		t.Fatal(err)
	}
	var x driver.Exec
	id, err := m.BinderVM.Open(&x, driver.OpenArgs{Context: ctx, PID: 7})
	if err != nil {
		t.Fatal(err)
	}
	tr := uapi.TransactionData{Code: 3}
	stream := tr.Append([]byte{0, 0x63, 0x40, 0x40}, false)
	m.BinderVM.WriteRead(&x, &driver.Request{Proc: id, TID: 8, Stream: stream, Gather: make([]driver.Gather, 1)})
	return m
}

func newHandler(m control.Machine) http.Handler {
	return control.NewHandler(m, slog.New(slog.DiscardHandler))
}

func ask(h http.Handler, method, path, body string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, "http://vm"+path, strings.NewReader(body)))
	return w
}

// described is the description as a tool reads it.
func described(t testing.TB) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(api.OpenAPI)
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(context.Background()); err != nil {
		t.Fatal(err)
	}
	return doc
}

// TestDescriptionIsComplete: every route is in the description, and nothing else.
func TestDescriptionIsComplete(t *testing.T) {
	var served, said []string
	for _, r := range control.Routes() {
		served = append(served, r.Method+" "+r.Path)
	}
	for path, item := range described(t).Paths.Map() {
		for method := range item.Operations() {
			said = append(said, method+" "+path)
		}
	}
	slices.Sort(served)
	slices.Sort(said)
	if !slices.Equal(served, said) {
		t.Errorf("served:    %q\ndescribed: %q", served, said)
	}
}

// TestAnswersAreAsDescribed: each answer, and each refusal, has the form that the
// description says.
func TestAnswersAreAsDescribed(t *testing.T) {
	router, err := legacy.NewRouter(described(t))
	if err != nil {
		t.Fatal(err)
	}
	m := newMachine(t)
	h := newHandler(m)
	asked := map[string]bool{}
	for _, c := range []struct {
		method, path, body string
		status             int
	}{
		{"GET", "/v1/vm", "", 200},
		{"GET", "/v1/vm/config", "", 200},
		{"POST", "/v1/vm/pause", "", 200},
		{"POST", "/v1/vm/stop", `{"force": false}`, 409},
		{"POST", "/v1/vm/resume", "", 200},
		{"GET", "/v1/binder/state?pid=7", "", 200},
		{"GET", "/v1/binder/state?transactions=1", "", 200},
		{"GET", "/v1/binder/stats", "", 200},
		{"GET", "/v1/binder/log?failed=1", "", 200},
		{"GET", "/v1/metrics", "", 200},
		{"GET", "/metrics", "", 200},
		{"GET", "/v1/profile?seconds=1", "", 200},
		{"GET", "/v1/profile?seconds=601", "", 400},
		{"GET", "/v1/openapi.json", "", 200},
		{"GET", "/v1/vm/consoles/0", "", 426},
		{"POST", "/v1/vm/stop", `{"force": true}`, 200},
		{"POST", "/v1/vm/pause", "", 409},
		{"GET", "/v1/vm/events", "", 200}, // it has ended
	} {
		r := httptest.NewRequest(c.method, "http://vm"+c.path, strings.NewReader(c.body))
		if c.body != "" {
			r.Header.Set("Content-Type", "application/json")
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != c.status {
			t.Fatalf("%s %s: %d %s", c.method, c.path, w.Code, w.Body)
		}
		route, params, err := router.FindRoute(r)
		if err != nil {
			t.Fatalf("%s %s: %v", c.method, c.path, err)
		}
		asked[route.Operation.OperationID] = true
		for line := range bytes.Lines(answers(w)) {
			in := &openapi3filter.ResponseValidationInput{
				RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route},
				Status:                 w.Code, Header: w.Header(), Body: io.NopCloser(bytes.NewReader(line)),
			}
			if err := openapi3filter.ValidateResponse(t.Context(), in); err != nil {
				t.Errorf("%s %s: %v", c.method, c.path, err)
			}
		}
	}
	for _, r := range control.Routes() {
		if !asked[r.ID] {
			t.Errorf("%s was not tried", r.ID)
		}
	}
}

func init() {
	openapi3filter.RegisterBodyDecoder("application/x-ndjson", openapi3filter.JSONBodyDecoder)
	openapi3filter.RegisterBodyDecoder("application/vnd.google.protobuf+gzip", openapi3filter.FileBodyDecoder)
}

// answers is a body with a line for each document.
func answers(w *httptest.ResponseRecorder) []byte {
	if w.Header().Get("Content-Type") == "application/x-ndjson" {
		return w.Body.Bytes()
	}
	return bytes.ReplaceAll(w.Body.Bytes(), []byte("\n"), nil)
}

// TestProfile: what is answered is a profile, and there is one at a time.
func TestProfile(t *testing.T) {
	h := newHandler(newMachine(t))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	answered := make(chan *httptest.ResponseRecorder, 2)
	for range 2 {
		go func() {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", "/v1/profile?seconds=600", nil))
			answered <- w
		}()
	}
	refused := <-answered
	cancel()
	done := <-answered
	if refused.Code != 409 || !strings.Contains(refused.Body.String(), "wait for the other") {
		t.Errorf("the second one: %d %s", refused.Code, refused.Body)
	}
	if p, err := profile.Parse(done.Body); err != nil || done.Code != 200 || len(p.SampleType) == 0 {
		t.Errorf("the answer is no profile: %d, %v", done.Code, err)
	}
}

func TestBinder(t *testing.T) {
	h := newHandler(newMachine(t))
	get := func(path string, doc any) {
		t.Helper()
		if w := ask(h, "GET", path, ""); w.Code != 200 || json.Unmarshal(w.Body.Bytes(), doc) != nil {
			t.Fatalf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	var state api.BinderState
	get("/v1/binder/state?pid=7", &state)
	if state.VM != "a" || len(state.Processes) != 1 || state.Processes[0].Context != "binder" || state.Processes[0].Threads[0].TID != 8 {
		t.Errorf("state %+v", state)
	}
	state = api.BinderState{}
	get("/v1/binder/state?pid=8", &state)
	if state.Processes == nil || len(state.Processes) != 0 {
		t.Errorf("state of nobody %+v", state)
	}
	get("/v1/binder/state?transactions=1", &state)
	if len(state.Processes) != 1 || state.Processes[0].Threads[0].Todo[0].Kind != driver.WorkError {
		t.Errorf("transactions %+v", state)
	}
	var stats api.BinderStats
	get("/v1/binder/stats", &stats)
	if stats.BC["BC_TRANSACTION"] != 1 || stats.Objects["proc"] != (driver.Count{Active: 1, Total: 1}) || stats.Processes[0].PID != 7 {
		t.Errorf("stats %+v", stats)
	}
	for _, path := range []string{"/v1/binder/log", "/v1/binder/log?failed=1"} {
		var log api.BinderLog
		get(path, &log)
		if len(log.Transactions) != 1 || log.Transactions[0].ErrorName() != "BR_DEAD_REPLY" {
			t.Errorf("%s %+v", path, log)
		}
	}
	none := controltest.New("b")
	none.BinderVM = nil
	if w := ask(newHandler(none), "GET", "/v1/binder/log", ""); w.Code != 404 || !strings.Contains(w.Body.String(), "no binder device") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// TestBadRequests: each is refused with the name of what is wrong.
func TestBadRequests(t *testing.T) {
	h := newHandler(newMachine(t))
	for _, c := range []struct {
		method, path, body string
		status             int
		field, text        string
	}{
		{"GET", "/v1/binder/state?pid=x", "", 400, "pid", "pid=x: give a number from 1"},
		{"GET", "/v1/binder/state?pid=0", "", 400, "pid", "give a number from 1"},
		{"GET", "/v1/binder/state?pid=4294967296", "", 400, "pid", "give a number from 1"},
		{"GET", "/v1/binder/state?transactions=2", "", 400, "transactions", "give 0 or 1"},
		{"GET", "/v1/binder/state?pdi=7", "", 400, "pdi", "no such parameter; there are pid, transactions"},
		{"GET", "/v1/binder/state?pid=7&pid=8", "", 400, "pid", "given 2 times"},
		{"GET", "/v1/binder/state?%zz", "", 400, "", "the query"},
		{"GET", "/v1/vm?x=1", "", 400, "x", "no such parameter, and no other"},
		{"GET", "/v1/binder/log?failed=yes", "", 400, "failed", "give 0 or 1"},
		{"GET", "/v1/vm/events?failures=x", "", 400, "failures", "give 0 or 1"},
		{"GET", "/v1/binder/nothing", "", 404, "", "there is no"},
		{"GET", "/", "", 404, "", "openapi.json"},
		{"POST", "/v1/binder/state", "", 405, "", "this path takes GET"},
		{"DELETE", "/v1/vm/stop", "", 405, "", "this path takes POST"},
		{"GET", "/v1/vm/consoles/1", "", 404, "index", "there is none"},
		{"GET", "/v1/vm/consoles/x", "", 404, "index", "there is none"},
		{"POST", "/v1/vm/stop", `{"force": "yes"}`, 400, "force", "the request's body"},
		{"POST", "/v1/vm/stop", `{"forse": true}`, 400, "forse", "unknown field"},
		{"POST", "/v1/vm/stop", `{"force": true`, 400, "", "unexpected EOF"},
		{"POST", "/v1/vm/stop", `{} {}`, 400, "", "more than one"},
		{"POST", "/v1/vm/stop", `"` + strings.Repeat("x", 65<<10) + `"`, 400, "", "too large"},
	} {
		w := ask(h, c.method, c.path, c.body)
		var f api.Failure
		if err := json.Unmarshal(w.Body.Bytes(), &f); err != nil || w.Code != c.status || f.Field != c.field || !strings.Contains(f.Text, c.text) {
			t.Errorf("%s %s %.30s: %d %s", c.method, c.path, c.body, w.Code, w.Body)
		}
	}
}

func TestPrometheus(t *testing.T) {
	w := ask(newHandler(newMachine(t)), "GET", "/metrics", "")
	want := `# HELP virtbinder_one A count.
# TYPE virtbinder_one counter
virtbinder_one{vm="a"} 1
# HELP virtbinder_half A fraction.
# TYPE virtbinder_half gauge
virtbinder_half{a="q\"\\",vm="a"} 0.5
`
	if w.Body.String() != want {
		t.Errorf("%s", w.Body)
	}
}

// FuzzRequest sends any request to a machine. Checked: no panic; an answer that is
// JSON; nothing that is not a refusal names an error.
func FuzzRequest(f *testing.F) {
	for _, r := range control.Routes() {
		f.Add(r.Method, r.Path, "", "")
	}
	f.Add("POST", "/v1/vm/stop", "", `{"force":true}`)
	f.Add("GET", "/v1/binder/state", "pid=7&transactions=1", "")
	f.Add("GET", "/v1/vm/consoles/-1", "", "")
	f.Fuzz(func(t *testing.T, method, path, query, body string) {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(method + " " + path + "?" + query + " HTTP/1.0\r\n\r\n")))
		if err != nil {
			return
		}
		m := newMachine(t)
		m.End("stopped", 6) // so that the events end
		r.Body = io.NopCloser(strings.NewReader(body))
		w := httptest.NewRecorder()
		newHandler(m).ServeHTTP(w, r)
		var refusal api.Failure
		switch {
		case w.Code < 300 || w.Code == http.StatusMovedPermanently || w.Code == http.StatusTemporaryRedirect:
		case json.Unmarshal(w.Body.Bytes(), &refusal) != nil || refusal.Text == "":
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	})
}
