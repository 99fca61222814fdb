// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"log/slog"
	"strings"
)

// Level is a slog.Level, written as debug, info, warn or error.
type Level slog.Level

var levels = []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}

// String is the level's name.
func (l Level) String() string { return strings.ToLower(slog.Level(l).String()) }

// MarshalText is String.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText takes a level's name.
func (l *Level) UnmarshalText(text []byte) error {
	for _, known := range levels {
		if strings.EqualFold(known.String(), string(text)) {
			*l = Level(known)
			return nil
		}
	}
	return fmt.Errorf("%q: want debug, info, warn or error", text)
}
