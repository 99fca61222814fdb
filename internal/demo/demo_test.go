// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const monitorLines = `{"kind":"report","time":"2026-11-21T05:44:35Z","source":"netlink","origin":"vm","vm":"android","error":29189,"error_name":"BR_DEAD_REPLY","context":"binder@android","from_pid":159,"from_tid":159,"is_reply":false,"flags":16,"flag_names":["TF_ACCEPT_FDS"],"code":1,"data_size":0}
{"kind":"report","time":"2026-11-21T05:44:36Z","source":"netlink","origin":"vm","vm":"android","error":29201,"error_name":"BR_FAILED_REPLY","context":"binder@android","from_pid":167,"from_tid":167,"to_pid":163,"is_reply":false,"flags":16,"flag_names":["TF_ACCEPT_FDS"],"code":2,"data_size":2000000}
`

func seenFrom(t *testing.T, text string) []Seen {
	t.Helper()
	path := filepath.Join(t.TempDir(), MonitorFile)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	seen, err := readSeen(path)
	if err != nil {
		t.Fatal(err)
	}
	return seen
}

// TestCompare changes what was seen in every way that has to be noticed.
func TestCompare(t *testing.T) {
	want := []Seen{deadReport("android", 159, 1), tooLargeReport("android", 167, 163, 2, tooLarge)}
	if err := compare(want, seenFrom(t, monitorLines)); err != nil {
		t.Fatal(err)
	}
	first, second, _ := strings.Cut(monitorLines, "\n")
	for name, text := range map[string]string{
		"nothing":          "",
		"one missing":      first + "\n",
		"the other order":  second + first + "\n",
		"one more":         monitorLines + first + "\n",
		"a gap":            monitorLines + `{"kind":"gap","source":"netlink","lost":3}` + "\n",
		"another error":    strings.Replace(monitorLines, "BR_FAILED_REPLY", "BR_FROZEN_REPLY", 1),
		"another context":  strings.Replace(monitorLines, "binder@android", "binder", 1),
		"another pid":      strings.Replace(monitorLines, `"from_pid":159`, `"from_pid":1`, 1),
		"another thread":   strings.Replace(monitorLines, `"from_tid":159`, `"from_tid":1`, 1),
		"a target made up": strings.Replace(monitorLines, `"is_reply"`, `"to_pid":0,"is_reply"`, 1),
		"no target":        strings.Replace(monitorLines, `"to_pid":163,`, "", 1),
		"a thread made up": strings.Replace(monitorLines, `"to_pid":163,`, `"to_pid":163,"to_tid":163,`, 1),
		"a reply":          strings.Replace(monitorLines, `"is_reply":false`, `"is_reply":true`, 1),
		"other flags":      strings.Replace(monitorLines, `"flags":16`, `"flags":17`, 1),
		"another code":     strings.Replace(monitorLines, `"code":2`, `"code":1`, 1),
		"another size":     strings.Replace(monitorLines, "2000000", "1999999", 1),
		"not by netlink":   strings.Replace(monitorLines, `"source":"netlink"`, `"source":"/run/x/reports.sock"`, 1),
		"the host's own":   strings.Replace(monitorLines, `"origin":"vm"`, `"origin":"kernel"`, 1),
		"unknown fields":   strings.Replace(monitorLines, `"code":1`, `"code":1,"unknown":[{"type":11,"data":"00"}]`, 1),
	} {
		if err := compare(want, seenFrom(t, text)); err == nil {
			t.Errorf("%s: not noticed", name)
		}
	}
}

func TestReadSeenTakesWholeLines(t *testing.T) {
	if got := seenFrom(t, monitorLines[:len(monitorLines)-1]); len(got) != 1 {
		t.Errorf("%d reports, want the one that is whole", len(got))
	}
}

func TestUnclaimed(t *testing.T) {
	if err := unclaimed("105 binder\n106 hwbinder\n107 vndbinder\n236 device-mapper\n"); err != nil {
		t.Error(err)
	}
	if unclaimed("105 binder\n108 binder\n") == nil {
		t.Error("a second driver's device was not noticed")
	}
}

func TestHasModule(t *testing.T) {
	const modules = "virtbinder 73728 0 - Live 0x0\nbinder_linux_not 1 0\n"
	if !hasModule(modules, "virtbinder") || hasModule(modules, "binder_linux") || hasModule(modules, "virt") {
		t.Error("modules are mistaken for one another")
	}
}

func TestPrintable(t *testing.T) {
	if got := printable("a\x1b[2Jb\x9bc\x07\tö"); got != "a?[2Jb\ufffdc?\tö" {
		t.Errorf("%q", got)
	}
}
