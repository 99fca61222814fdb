// SPDX-License-Identifier: Apache-2.0

// Package jsonfile reads and writes results that are files of JSON.
package jsonfile

import (
	"encoding/json"
	"fmt"
	"os"
)

// Read reads what Write wrote.
func Read(path string, to any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, to); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// Write replaces the file by v, indented for people.
func Write(path string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}
