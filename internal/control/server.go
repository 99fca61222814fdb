// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"virtbinder/vmm/api"
)

const (
	socketMode = 0o600
	// maxAtOnce is how many answers are being made: one may take as much memory as
	// the core itself.
	maxAtOnce = 2
	// maxFollowers is how many read events.
	maxFollowers = 16
	// maxBody bounds a request, in bytes.
	maxBody = 64 << 10
	// lastWords is how long a client that does not read holds up the end of the VM.
	lastWords = time.Second
)

// Server answers requests about one machine.
type Server struct {
	m         Machine
	log       *slog.Logger
	http      http.Server
	busy      chan struct{} // answers being made
	followers chan struct{}
	done      chan struct{}
}

func newServer(m Machine, log *slog.Logger) *Server {
	return &Server{m: m, log: log, busy: make(chan struct{}, maxAtOnce), followers: make(chan struct{}, maxFollowers), done: make(chan struct{})}
}

// NewHandler answers requests about m without a socket.
func NewHandler(m Machine, log *slog.Logger) http.Handler { return newServer(m, log).handler() }

// Serve makes the socket and answers on it until Close.
func Serve(path string, m Machine, log *slog.Logger) (*Server, error) {
	// Before bind, so that the socket is never there with another mode.
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		control := c.Control(func(fd uintptr) { err = unix.Fchmod(int(fd), socketMode) })
		return errors.Join(control, err)
	}}
	l, err := config.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, fmt.Errorf("API socket: %w", err)
	}
	s := newServer(m, log)
	s.http = http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       5 * time.Second,
		WriteTimeout:      time.Minute,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    8 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	go func() {
		defer close(s.done)
		if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Error("the API socket is closed", "error", err)
		}
	}()
	return s, nil
}

// Close removes the socket, gives answers that are being sent a moment, and cuts
// connections off.
func (s *Server) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), lastWords)
	defer cancel()
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = s.http.Close()
	}
	<-s.done
	return err
}

// handler answers the requests, those for which there is no route as well.
func (s *Server) handler() http.Handler {
	paths := map[string]map[string]Route{}
	for _, r := range Routes() {
		if paths[r.Path] == nil {
			paths[r.Path] = map[string]Route{}
		}
		paths[r.Path][r.Method] = r
	}
	mux := http.NewServeMux()
	for path, methods := range paths {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			route, ok := methods[r.Method]
			if !ok {
				allowed := strings.Join(slices.Sorted(maps.Keys(methods)), ", ")
				w.Header().Set("Allow", allowed)
				refuse(w, http.StatusMethodNotAllowed, fmt.Errorf("%s %s: this path takes %s", r.Method, r.URL.Path, allowed))
				return
			}
			if err := checkQuery(r, route.Query); err != nil {
				refuse(w, http.StatusBadRequest, err)
				return
			}
			route.serve(s, w, r)
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, http.StatusNotFound, fmt.Errorf("there is no %.200q; GET /v1/openapi.json lists what there is", r.URL.Path))
	})
	return mux
}

// answering sends what f makes.
func answering(f answer) func(*Server, http.ResponseWriter, *http.Request) {
	return func(s *Server, w http.ResponseWriter, r *http.Request) {
		if !enter(w, s.busy, "requests are being answered") {
			return
		}
		defer func() { <-s.busy }()
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		doc, err := f(s, r)
		if err != nil {
			refuse(w, statusOf(err), err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(doc); err != nil {
			s.log.Debug("the client went away", "path", r.URL.Path, "error", err)
		}
	}
}

// enter takes a place, or refuses if there is none.
func enter(w http.ResponseWriter, places chan struct{}, what string) bool {
	select {
	case places <- struct{}{}:
		return true
	default:
		refuse(w, http.StatusServiceUnavailable, fmt.Errorf("%d %s, the limit: try again", cap(places), what))
		return false
	}
}

// statusError is an error that is not the request's fault alone.
type statusError struct {
	status int
	err    error
}

func (e *statusError) Error() string { return e.err.Error() }
func (e *statusError) Unwrap() error { return e.err }

func statusOf(err error) int {
	var s *statusError
	if errors.As(err, &s) {
		return s.status
	}
	return http.StatusBadRequest
}

// conflict is the error of a VM in whose state something cannot be done.
func conflict(err error) error { return &statusError{http.StatusConflict, err} }

func refuse(w http.ResponseWriter, status int, err error) {
	f := &api.Failure{}
	if !errors.As(err, &f) {
		f.Text = err.Error()
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(f)
}
