// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"virtbinder/driver"
)

const (
	socketMode = 0o600
	maxAtOnce  = 2 // answers being made: one may take as much memory as the core itself
)

// Server answers requests about one VM.
type Server struct {
	vm   *driver.VM
	log  *slog.Logger
	http http.Server
	busy chan struct{}
	done chan struct{}
}

// Route is an answer that another package gives.
type Route struct {
	Pattern string // of http.ServeMux
	Handler http.HandlerFunc
}

// Serve makes the socket and answers on it until Close.
func Serve(path string, vm *driver.VM, log *slog.Logger, more ...Route) (*Server, error) {
	// Before bind, so that the socket is never there with another mode.
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		control := c.Control(func(fd uintptr) { err = unix.Fchmod(int(fd), socketMode) })
		return errors.Join(control, err)
	}}
	l, err := config.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, fmt.Errorf("API socket: %w", err)
	}
	s := &Server{vm: vm, log: log, busy: make(chan struct{}, maxAtOnce), done: make(chan struct{})}
	s.http = http.Server{
		Handler:           s.Handler(more...),
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

// Close removes the socket and cuts connections off.
func (s *Server) Close() error {
	err := s.http.Close()
	<-s.done
	return err
}

// Handler answers the requests.
func (s *Server) Handler(more ...Route) http.Handler {
	mux := http.NewServeMux()
	for _, r := range more {
		mux.HandleFunc(r.Pattern, r.Handler)
	}
	mux.HandleFunc("GET /v1/binder/state", s.answer(s.state))
	mux.HandleFunc("GET /v1/binder/stats", s.answer(s.stats))
	mux.HandleFunc("GET /v1/binder/log", s.answer(s.transactions))
	return mux
}

// answer sends what f makes.
func (s *Server) answer(f func(*http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		select {
		case s.busy <- struct{}{}:
			defer func() { <-s.busy }()
		default:
			refuse(w, http.StatusServiceUnavailable, fmt.Errorf("%d requests are being answered, the limit: try again", maxAtOnce))
			return
		}
		doc, err := f(r)
		if err != nil {
			refuse(w, http.StatusBadRequest, err)
			return
		}
		if err := json.NewEncoder(w).Encode(doc); err != nil {
			s.log.Debug("API: the client went away", "path", r.URL.Path, "error", err)
		}
	}
}

func refuse(w http.ResponseWriter, status int, err error) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(failure{err.Error()})
}

type failure struct {
	Error string `json:"error"`
}

func (s *Server) state(r *http.Request) (any, error) {
	q := r.URL.Query()
	pid := uint64(0)
	if text := q.Get("pid"); text != "" {
		var err error
		if pid, err = strconv.ParseUint(text, 10, 32); err != nil || pid == 0 {
			return nil, fmt.Errorf("pid=%s: give a process id of the guest", text)
		}
	}
	only, err := flag(q.Get("transactions"), "transactions")
	if err != nil {
		return nil, err
	}
	doc := State{VM: s.vm.Name(), Processes: []driver.ProcessState{}}
	if pid == 0 && !only {
		doc.DeadNodes = s.vm.DeadNodes()
	}
	s.vm.States(uint32(pid), func(p *driver.ProcessState) bool {
		if !only || p.OnlyTransactions() {
			doc.Processes = append(doc.Processes, *p)
		}
		return r.Context().Err() == nil
	})
	return doc, nil
}

func (s *Server) stats(r *http.Request) (any, error) {
	doc := Stats{VM: s.vm.Name(), Traffic: s.vm.Traffic(), Objects: s.vm.Counts(), Processes: []driver.ProcessStats{}}
	s.vm.Stats(func(p *driver.ProcessStats) bool {
		doc.Processes = append(doc.Processes, *p)
		return r.Context().Err() == nil
	})
	return doc, nil
}

func (s *Server) transactions(r *http.Request) (any, error) {
	failed, err := flag(r.URL.Query().Get("failed"), "failed")
	if err != nil {
		return nil, err
	}
	return Log{s.vm.Name(), s.vm.Log(failed)}, nil
}

func flag(value, name string) (bool, error) {
	switch value {
	case "", "0":
		return false, nil
	case "1":
		return true, nil
	}
	return false, fmt.Errorf("%s=%s: give 0 or 1", name, value)
}
