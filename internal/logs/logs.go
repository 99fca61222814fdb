// SPDX-License-Identifier: Apache-2.0

// Package logs makes the loggers of a process: one for each component, with a level
// of its own (config.Log). Every line names its component.
package logs

import (
	"fmt"
	"io"
	"log/slog"
	"os"

	"virtbinder/internal/config"
)

// Logs is where log lines go.
type Logs struct {
	cfg  config.Log
	file *os.File // nil: standard error
}

// Open opens the file that cfg names. The lines of a process without one go to
// stderr.
func Open(cfg config.Log) (*Logs, error) {
	l := &Logs{cfg: cfg}
	if cfg.File == "" {
		return l, nil
	}
	var err error
	if l.file, err = os.OpenFile(cfg.File, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600); err != nil {
		return nil, fmt.Errorf("log.file: %w", err)
	}
	return l, nil
}

// Close closes the file.
func (l *Logs) Close() error {
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}

// For returns a component's logger, for the machine called vm. Its lines go to more
// as well, as text.
func (l *Logs) For(component, vm string, more io.Writer) *slog.Logger {
	level, own := l.cfg.Levels[component]
	if !own {
		level = l.cfg.Level
	}
	opts := &slog.HandlerOptions{Level: slog.Level(level)}
	var handlers []slog.Handler
	if more != nil {
		handlers = append(handlers, slog.NewTextHandler(more, opts))
	}
	handlers = append(handlers, l.handler(opts))
	log := slog.New(slog.NewMultiHandler(handlers...)).With("component", component)
	if vm != "" {
		log = log.With("vm", vm)
	}
	return log
}

func (l *Logs) handler(opts *slog.HandlerOptions) slog.Handler {
	var w io.Writer = os.Stderr
	if l.file != nil {
		w = l.file
	}
	if l.cfg.Format == config.JSON {
		return slog.NewJSONHandler(w, opts)
	}
	return slog.NewTextHandler(w, opts)
}
