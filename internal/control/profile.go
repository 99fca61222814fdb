// SPDX-License-Identifier: Apache-2.0

package control

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"runtime/pprof"
	"strconv"
	"time"

	"virtbinder/vmm/api"
)

const (
	profileType    = "application/vnd.google.protobuf+gzip"
	profileSeconds = 10  // if nobody says how long
	profileLimit   = 600 // seconds
)

// profile watches for a while where the process spends its processor time. There is
// one at a time, whichever of the process's VMs is asked.
func (s *Server) profile(w http.ResponseWriter, r *http.Request) {
	seconds := number(r, "seconds")
	if seconds == 0 {
		seconds = profileSeconds
	}
	if seconds > profileLimit {
		refuse(w, http.StatusBadRequest, &api.Failure{Field: "seconds", Text: fmt.Sprintf("seconds=%d: give at most %d", seconds, profileLimit)})
		return
	}
	took := time.Duration(seconds) * time.Second
	err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(took + time.Minute))
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		s.log.Debug("a client asks for a profile and is gone", "error", err)
		return
	}
	var out bytes.Buffer
	if err := pprof.StartCPUProfile(&out); err != nil {
		refuse(w, http.StatusConflict, fmt.Errorf("profile: %w: wait for the other one's end", err))
		return
	}
	select {
	case <-time.After(took):
	case <-r.Context().Done():
	}
	pprof.StopCPUProfile()
	w.Header().Set("Content-Type", profileType)
	w.Header().Set("Content-Length", strconv.Itoa(out.Len()))
	if _, err := w.Write(out.Bytes()); err != nil {
		s.log.Debug("a profile's reader went away", "error", err)
	}
}
