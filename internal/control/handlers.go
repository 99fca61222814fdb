// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"virtbinder/driver"
	"virtbinder/vmm/api"
)

// pauseTime bounds how long a pause may take: a device that serves a processor at the
// moment has to come to an end first.
const pauseTime = 30 * time.Second

// eventTime is how long a reader of events may take for one.
const eventTime = time.Minute

func (s *Server) vm(*http.Request) (any, error) { return s.m.Describe(), nil }

func (s *Server) config(*http.Request) (any, error) { return s.m.Configuration(), nil }

func (s *Server) pause(r *http.Request) (any, error) {
	ctx, cancel := context.WithTimeout(r.Context(), pauseTime)
	defer cancel()
	if err := s.m.Pause(ctx); err != nil {
		return nil, conflict(fmt.Errorf("pause: %w", err))
	}
	return s.m.Describe(), nil
}

func (s *Server) resume(*http.Request) (any, error) {
	if err := s.m.Resume(); err != nil {
		return nil, conflict(fmt.Errorf("resume: %w", err))
	}
	return s.m.Describe(), nil
}

func (s *Server) stop(r *http.Request) (any, error) {
	var how api.Stop
	if err := body(r, &how); err != nil {
		return nil, err
	}
	if err := s.m.Stop(how.Force); err != nil {
		return nil, conflict(fmt.Errorf("stop: %w", err))
	}
	return s.m.Describe(), nil
}

// events follows the VM and its journal at once; the VM's end comes last.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	if !enter(w, s.followers, "clients read events") {
		return
	}
	defer func() { <-s.followers }()
	w.Header().Set("Content-Type", "application/x-ndjson")
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	send := sender(w, cancel)
	var failures sync.WaitGroup
	if r.URL.Query().Get("failures") != "0" {
		reader, suffix := s.m.Failures()
		failures.Go(func() { _ = followFailures(ctx, s.m.Describe().Name, reader, suffix, send) })
	}
	err := s.m.Events().follow(ctx, func(e api.Event) error {
		if e.Kind == api.EventEnded {
			failures.Wait() // the journal has ended already
		}
		return send(e)
	})
	cancel()
	failures.Wait()
	if err != nil {
		s.log.Debug("a reader of events went away", "error", err)
	}
}

// sender sends events, one at a time, and ends the answer at an error.
func sender(w http.ResponseWriter, cancel func()) func(api.Event) error {
	var mu sync.Mutex
	control, lines := http.NewResponseController(w), json.NewEncoder(w)
	return func(e api.Event) error {
		mu.Lock()
		defer mu.Unlock()
		err := control.SetWriteDeadline(time.Now().Add(eventTime))
		if errors.Is(err, http.ErrNotSupported) {
			err = nil
		}
		if err == nil {
			err = lines.Encode(e)
		}
		if err == nil {
			err = control.Flush()
		}
		if err != nil {
			cancel()
		}
		return err
	}
}

// console gives the connection to a console's hub.
func (s *Server) console(w http.ResponseWriter, r *http.Request) {
	text := r.PathValue("index")
	index, err := strconv.ParseUint(text, 10, 8)
	if err != nil || s.m.Console(int(index)) == nil {
		refuse(w, http.StatusNotFound, &api.Failure{Field: "index", Text: fmt.Sprintf("console %.20q: there is none; GET /v1/vm lists them, the first is 0", text)})
		return
	}
	if !strings.EqualFold(r.Header.Get("Upgrade"), api.ConsoleProtocol) || !strings.EqualFold(r.Header.Get("Connection"), "Upgrade") {
		w.Header().Set("Upgrade", api.ConsoleProtocol)
		refuse(w, http.StatusUpgradeRequired, errors.New("a console is a stream: ask with Connection: Upgrade and Upgrade: "+api.ConsoleProtocol))
		return
	}
	hub := s.m.Console(int(index))
	if hub.Full() {
		refuse(w, http.StatusServiceUnavailable, fmt.Errorf("console %d: too many are attached", index))
		return
	}
	conn, ahead, err := http.NewResponseController(w).Hijack()
	if err != nil {
		refuse(w, http.StatusInternalServerError, err)
		return
	}
	_ = conn.SetDeadline(time.Time{})
	if _, err := fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", api.ConsoleProtocol); err != nil {
		conn.Close()
		return
	}
	if err := hub.Attach(conn, ahead); err != nil {
		s.log.Debug("a console's client went away", "error", err)
	}
}

// binder is the VM's binder, if it has one.
func (s *Server) binder() (*driver.VM, error) {
	if vm := s.m.Binder(); vm != nil {
		return vm, nil
	}
	return nil, &statusError{http.StatusNotFound, errors.New("this VM has no binder device")}
}

func (s *Server) binderState(r *http.Request) (any, error) {
	vm, err := s.binder()
	if err != nil {
		return nil, err
	}
	pid, only := number(r, "pid"), flag(r, "transactions")
	doc := api.BinderState{VM: vm.Name(), Processes: []driver.ProcessState{}}
	if pid == 0 && !only {
		doc.DeadNodes = vm.DeadNodes()
	}
	vm.States(pid, func(p *driver.ProcessState) bool {
		if !only || p.OnlyTransactions() {
			doc.Processes = append(doc.Processes, *p)
		}
		return r.Context().Err() == nil
	})
	return doc, nil
}

func (s *Server) binderStats(r *http.Request) (any, error) {
	vm, err := s.binder()
	if err != nil {
		return nil, err
	}
	doc := api.BinderStats{VM: vm.Name(), Traffic: vm.Traffic(), Objects: vm.Counts(), Processes: []driver.ProcessStats{}}
	vm.Stats(func(p *driver.ProcessStats) bool {
		doc.Processes = append(doc.Processes, *p)
		return r.Context().Err() == nil
	})
	return doc, nil
}

func (s *Server) binderLog(r *http.Request) (any, error) {
	vm, err := s.binder()
	if err != nil {
		return nil, err
	}
	return api.BinderLog{VM: vm.Name(), Transactions: vm.Log(flag(r, "failed"))}, nil
}

func (s *Server) metrics(*http.Request) (any, error) {
	return api.Metrics{VM: s.m.Describe().Name, Metrics: s.m.Metrics()}, nil
}

func (s *Server) prometheus(w http.ResponseWriter, _ *http.Request) {
	if !enter(w, s.busy, "requests are being answered") {
		return
	}
	defer func() { <-s.busy }()
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	_, _ = w.Write(prometheusText(s.m.Metrics()))
}

func (s *Server) openAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(api.OpenAPI)
}
