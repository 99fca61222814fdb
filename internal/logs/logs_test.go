// SPDX-License-Identifier: Apache-2.0

package logs

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"virtbinder/internal/config"
)

func TestLevels(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l, err := Open(config.Log{
		Level: config.Level(slog.LevelWarn), Levels: map[string]config.Level{"vmm": config.Level(slog.LevelDebug)},
		Format: config.JSON, File: path,
	})
	if err != nil {
		t.Fatal(err)
	}
	var own bytes.Buffer
	l.For("vmm", "a", &own).Debug("seen", "n", 1)
	l.For("api", "a", &own).Info("not seen")
	l.For("api", "", nil).Error("seen too")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var lines []map[string]any
	for line := range bytes.Lines(text) {
		var m map[string]any
		if err := json.Unmarshal(line, &m); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, m)
	}
	if len(lines) != 2 || lines[0]["component"] != "vmm" || lines[0]["vm"] != "a" || lines[0]["n"] != 1.0 || lines[1]["msg"] != "seen too" {
		t.Errorf("%s", text)
	}
	if s := own.String(); strings.Count(s, "\n") != 1 || !strings.Contains(s, "msg=seen component=vmm vm=a n=1") {
		t.Errorf("%q", s)
	}
}

func TestOpen(t *testing.T) {
	if _, err := Open(config.Log{File: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "log.file") {
		t.Error(err)
	}
}
