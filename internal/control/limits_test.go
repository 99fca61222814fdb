// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"

	"virtbinder/vmm/api"
)

// TestBusy: those who come while enough answers are being made are told so.
func TestBusy(t *testing.T) {
	s := newServer(nil, slog.New(slog.DiscardHandler))
	for range maxAtOnce {
		s.busy <- struct{}{}
	}
	for range maxFollowers {
		s.followers <- struct{}{}
	}
	for path, want := range map[string]string{
		"/v1/binder/log": `{"error":"2 requests are being answered, the limit: try again"}`,
		"/metrics":       `{"error":"2 requests`,
		"/v1/vm/events":  `{"error":"16 clients read events`,
	} {
		w := httptest.NewRecorder()
		s.handler().ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != 503 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

// TestEventsAreForgotten: a reader that begins late, or falls behind, is told how many
// events it did not get; the end is always there.
func TestEventsAreForgotten(t *testing.T) {
	e := NewEvents("a")
	e.Started()
	for range maxEvents {
		e.Paused()
	}
	e.Ended("poweroff", 0, nil)
	e.Resumed() // and after it nothing
	var all []api.Event
	if err := e.follow(t.Context(), func(ev api.Event) error { all = append(all, ev); return nil }); err != nil {
		t.Fatal(err)
	}
	if n := len(all); n != maxEvents+1 || all[0].Kind != api.EventLost || all[0].Count != 2 || all[n-1].Kind != api.EventEnded {
		t.Errorf("%d events, the first %+v, the last %+v", n, all[0], all[n-1])
	}
}

func TestFollowStops(t *testing.T) {
	e := NewEvents("a")
	e.Started()
	gone := errors.New("gone")
	if err := e.follow(t.Context(), func(api.Event) error { return gone }); !errors.Is(err, gone) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := e.follow(ctx, func(api.Event) error { cancel(); return nil }); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
