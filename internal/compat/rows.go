// SPDX-License-Identifier: Apache-2.0

package main

import (
	"regexp"
	"strings"

	"virtbinder/driver/uapi"
)

// row is one name of the interface.
type row struct {
	Name  string
	shows *regexp.Regexp // in a line of a transcript
	never string         // why no transcript can have it
}

// table is one kind of names.
type table struct {
	Title string
	Rows  []row
}

func tables() []table {
	return []table{
		{"ioctls", ioctls()},
		{"Commands", commands()},
		{"Returns", returns()},
		{"Objects", objects()},
		{"Flags", flags()},
	}
}

// word is a row that a transcript names as it is.
func word(name string) row {
	return row{Name: name, shows: regexp.MustCompile(`\b` + regexp.QuoteMeta(name) + `\b`)}
}

func ioctls() []row {
	rows := []row{{Name: "BINDER_WRITE_READ", shows: regexp.MustCompile(`, wrote \d+`)}}
	for _, name := range []string{
		"BINDER_SET_IDLE_TIMEOUT", "BINDER_SET_MAX_THREADS", "BINDER_SET_IDLE_PRIORITY", "BINDER_SET_CONTEXT_MGR",
		"BINDER_THREAD_EXIT", "BINDER_VERSION", "BINDER_GET_NODE_DEBUG_INFO", "BINDER_GET_NODE_INFO_FOR_REF",
		"BINDER_SET_CONTEXT_MGR_EXT", "BINDER_FREEZE", "BINDER_GET_FROZEN_INFO", "BINDER_ENABLE_ONEWAY_SPAM_DETECTION",
		"BINDER_GET_EXTENDED_ERROR",
	} {
		rows = append(rows, word(name))
	}
	return rows
}

func commands() (rows []row) {
	for _, name := range uapi.Commands {
		rows = append(rows, word(name))
	}
	return rows
}

// neverSent are the returns that the kernel's driver defines and does not send.
var neverSent = map[string]string{
	"BR_ERROR":           "sent only where memory for a death notification cannot be had",
	"BR_OK":              "never sent; the command of an extended error that is none",
	"BR_ACQUIRE_RESULT":  "never sent",
	"BR_ATTEMPT_ACQUIRE": "never sent",
	"BR_FINISHED":        "never sent",
}

func returns() (rows []row) {
	for _, name := range uapi.Returns {
		if why := neverSent[name]; why != "" {
			rows = append(rows, row{Name: name, never: why})
			continue
		}
		rows = append(rows, word(name))
		if name == "BR_TRANSACTION" {
			rows = append(rows, word("BR_TRANSACTION_SEC_CTX"))
		}
	}
	return rows
}

// objects are found in what is sent ("[BINDER ...") and received ("[0] HANDLE ...").
func objects() (rows []row) {
	for _, name := range []string{"BINDER", "WEAK_BINDER", "HANDLE", "WEAK_HANDLE", "FD", "FDA", "PTR"} {
		rows = append(rows, row{Name: "BINDER_TYPE_" + name, shows: regexp.MustCompile(`(\[|, |\] )` + name + ` `)})
	}
	return rows
}

func flags() (rows []row) {
	for _, name := range []string{"ONE_WAY", "ROOT_OBJECT", "STATUS_CODE", "ACCEPT_FDS", "CLEAR_BUF", "UPDATE_TXN"} {
		rows = append(rows, row{Name: "TF_" + name, shows: regexp.MustCompile(`flags \S*\b` + name + `\b`)})
	}
	ext := "BINDER_SET_CONTEXT_MGR_EXT [0-9a-f]{8}" // an object's flags follow, low byte first
	return append(rows,
		row{Name: "FLAT_BINDER_FLAG_PRIORITY_MASK", shows: regexp.MustCompile(ext + `(0[1-9a-f]|[1-9a-f].)`)},
		row{Name: "FLAT_BINDER_FLAG_ACCEPTS_FDS", shows: regexp.MustCompile(ext + `...[13579bdf]`)},
		row{Name: "FLAT_BINDER_FLAG_TXN_SECURITY_CTX", shows: regexp.MustCompile(ext + `..[13579bdf]`)},
		row{Name: "BINDER_BUFFER_FLAG_HAS_PARENT", shows: regexp.MustCompile(`\] PTR .*flags 0x1 `)},
	)
}

// in says whether a transcript shows the row.
func (r *row) in(transcript string) bool {
	if r.shows == nil {
		return false
	}
	for line := range strings.Lines(transcript) {
		if r.shows.MatchString(line) {
			return true
		}
	}
	return false
}
