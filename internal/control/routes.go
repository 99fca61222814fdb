// SPDX-License-Identifier: Apache-2.0

package control

import (
	"net/http"

	"virtbinder/vmm/api"
)

// Route is one thing that can be asked for.
type Route struct {
	Method  string
	Path    string // of http.ServeMux
	ID      string // for programs that are generated from the description
	Summary string
	Query   []Param
	Body    any    // what the request carries; nil: nothing
	Answer  any    // what the answer is; nil: no JSON document
	Type    string // of an answer that is no JSON document
	Status  int    // of success

	serve func(*Server, http.ResponseWriter, *http.Request)
}

// Param is a parameter of the query.
type Param struct {
	Name, Summary string
	Flag          bool // 0 or 1; else a positive number
}

// Routes is everything there is.
func Routes() []Route {
	return []Route{
		get("/v1/vm", "getVM", "What the VM is and does.", api.VM{}, (*Server).vm),
		get("/v1/vm/config", "getConfig", "Its resolved configuration, as virtbinder boot --dry-run --json prints it.", map[string]any{}, (*Server).config),
		act("/v1/vm/pause", "pause", "Hold the VM's processors; answered when they are held.", nil, (*Server).pause),
		act("/v1/vm/resume", "resume", "Let the VM's processors go on.", nil, (*Server).resume),
		act("/v1/vm/stop", "stop", "Press the power button, or end the VM by force. Not waited for: an event tells of the end.", api.Stop{}, (*Server).stop),
		{
			Method: http.MethodGet, Path: "/v1/vm/events", ID: "getEvents", Status: http.StatusOK,
			Summary: "What has happened to the VM since its start, and then what happens, one JSON document (Event) in each line, until its end.",
			Query:   []Param{{"failures", "1, the default: failed transactions as well; 0: without them", true}},
			Answer:  api.Event{}, Type: "application/x-ndjson", serve: (*Server).events,
		},
		{
			Method: http.MethodGet, Path: "/v1/vm/consoles/{index}", ID: "attachConsole", Status: http.StatusSwitchingProtocols,
			Summary: "Attach to a console by its number, with an upgrade of the connection to " + api.ConsoleProtocol + ": what was printed last, then the stream, both ways.",
			serve:   (*Server).console,
		},
		withQuery(get("/v1/binder/state", "getBinderState", "What binder processes have and do, the newest first.", api.BinderState{}, (*Server).binderState),
			Param{"pid", "only this process of the guest", false}, Param{"transactions", "1: only what has to do with transactions on their way", true}),
		get("/v1/binder/stats", "getBinderStats", "How many commands and objects there were, by process.", api.BinderStats{}, (*Server).binderStats),
		withQuery(get("/v1/binder/log", "getBinderLog", "The last transactions, oldest first.", api.BinderLog{}, (*Server).binderLog),
			Param{"failed", "1: the last that failed", true}),
		get("/v1/metrics", "getMetrics", "All that is measured.", api.Metrics{}, (*Server).metrics),
		{
			Method: http.MethodGet, Path: "/metrics", ID: "getPrometheusMetrics", Summary: "The same in Prometheus' text format.",
			Type: "text/plain", Status: http.StatusOK, serve: (*Server).prometheus,
		},
		{
			Method: http.MethodGet, Path: "/v1/profile", ID: "getProfile", Status: http.StatusOK,
			Summary: "Where the process of the VM spends its processor time from now on, for go tool pprof; answered when the time is over.",
			Query:   []Param{{"seconds", "how long to watch, up to 600; 10 by default", false}},
			Type:    profileType, serve: (*Server).profile,
		},
		{
			Method: http.MethodGet, Path: "/v1/openapi.json", ID: "getOpenAPI", Summary: "This description.",
			Answer: map[string]any{}, Status: http.StatusOK, serve: (*Server).openAPI,
		},
	}
}

// answer makes the document that answers a request.
type answer func(*Server, *http.Request) (any, error)

func get(path, id, summary string, doc any, f answer) Route {
	return Route{Method: http.MethodGet, Path: path, ID: id, Summary: summary, Answer: doc, Status: http.StatusOK, serve: answering(f)}
}

// act is a route that does something to the VM, and answers with what it is then.
func act(path, id, summary string, body any, f answer) Route {
	return Route{Method: http.MethodPost, Path: path, ID: id, Summary: summary, Body: body, Answer: api.VM{}, Status: http.StatusOK, serve: answering(f)}
}

func withQuery(r Route, q ...Param) Route {
	r.Query = q
	return r
}
