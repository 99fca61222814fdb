// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"log/slog"
	"maps"
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

// Levels is the text of a flag: a level for all components, levels of some of them,
// or both, as warn,vmm=debug.
type Levels struct {
	all *Level
	own map[string]Level
}

// UnmarshalText reads the text.
func (l *Levels) UnmarshalText(text []byte) error {
	l.own = map[string]Level{}
	for part := range strings.SplitSeq(string(text), ",") {
		component, name, owned := strings.Cut(part, "=")
		if !owned {
			component, name = "", part
		}
		var level Level
		if err := level.UnmarshalText([]byte(name)); err != nil {
			return err
		}
		if owned {
			l.own[component] = level
		} else {
			l.all = &level
		}
	}
	return nil
}

// All is the level for components that have none of their own.
func (l *Levels) All() slog.Level {
	if l == nil || l.all == nil {
		return slog.LevelInfo
	}
	return slog.Level(*l.all)
}

// Apply puts the levels over what log has.
func (l *Levels) Apply(log *Log) {
	if l.all != nil {
		log.Level = *l.all
	}
	log.Levels = maps.Clone(log.Levels)
	for component, level := range l.own {
		if log.Levels == nil {
			log.Levels = map[string]Level{}
		}
		log.Levels[component] = level
	}
}
