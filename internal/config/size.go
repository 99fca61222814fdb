// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Size is a number of bytes, written as 512M or 2G.
type Size uint64

var sizeUnits = []struct {
	letter string
	shift  uint
}{{"T", 40}, {"G", 30}, {"M", 20}, {"K", 10}}

// ParseSize reads a size: a number with K, M, G or T (binary; "iB" or "B" may
// follow) or B, or a bare number of MiB.
func ParseSize(s string) (Size, error) {
	digits := strings.TrimRight(s, "kKmMgGtTiB")
	unit := s[len(digits):]
	shift, err := unitShift(unit)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	switch {
	case errors.Is(err, strconv.ErrRange), err == nil && n > (1<<63)>>shift:
		return 0, fmt.Errorf("%q is too large", s)
	case err != nil:
		return 0, fmt.Errorf("%q: want a number and a unit, as 512M or 2G", s)
	}
	return Size(n << shift), nil
}

func unitShift(unit string) (uint, error) {
	switch unit {
	case "":
		return 20, nil
	case "B":
		return 0, nil
	}
	for _, u := range sizeUnits {
		if suffix, ok := strings.CutPrefix(strings.ToUpper(unit), u.letter); ok && (suffix == "" || suffix == "B" || suffix == "IB") {
			return u.shift, nil
		}
	}
	return 0, fmt.Errorf("unknown unit %q: use B, K, M, G or T", unit)
}

// String is the size in the largest unit that loses nothing.
func (s Size) String() string {
	for _, u := range sizeUnits {
		if s != 0 && s%(1<<u.shift) == 0 {
			return strconv.FormatUint(uint64(s)>>u.shift, 10) + u.letter
		}
	}
	return strconv.FormatUint(uint64(s), 10) + "B"
}

// MarshalText is String.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText is ParseSize.
func (s *Size) UnmarshalText(text []byte) (err error) {
	*s, err = ParseSize(string(text))
	return err
}

// Duration is a time.Duration, written as 30s or 1m30s.
type Duration time.Duration

// String is the duration as time.Duration writes it.
func (d Duration) String() string { return time.Duration(d).String() }

// MarshalText is String.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText is time.ParseDuration.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%q: want a number and a unit, as 500ms, 30s or 2m", text)
	}
	*d = Duration(v)
	return nil
}
