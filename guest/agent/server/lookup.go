// SPDX-License-Identifier: Apache-2.0

package server

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"virtbinder/guest/agentproto"
)

// cleanEnv is the environment of a command, before the client's own settings.
var cleanEnv = []string{
	"PATH=/system/bin:/usr/bin:/bin:/usr/sbin:/sbin",
	"HOME=/",
}

// environment puts a client's settings on top of cleanEnv; the last of a name wins.
func environment(extra []string) []string {
	env := append([]string(nil), cleanEnv...)
	for _, kv := range extra {
		name, _, _ := strings.Cut(kv, "=")
		for i, old := range env {
			if strings.HasPrefix(old, name+"=") {
				env = append(env[:i], env[i+1:]...)
				break
			}
		}
		env = append(env, kv)
	}
	return env
}

// lookup finds the program that a command names, in the PATH of its environment.
func lookup(name, dir string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		path := name
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		if err := executable(path); err != nil {
			return "", err
		}
		return path, nil
	}
	var path string
	for _, kv := range env {
		if v, ok := strings.CutPrefix(kv, "PATH="); ok {
			path = v
		}
	}
	var refused error
	for _, d := range filepath.SplitList(path) {
		if !filepath.IsAbs(d) {
			d = filepath.Join(dir, d)
		}
		candidate := filepath.Join(d, name)
		err := executable(candidate)
		if err == nil {
			return candidate, nil
		}
		if err.Kind == agentproto.ErrNotExecutable && refused == nil {
			refused = err
		}
	}
	if refused != nil {
		return "", refused
	}
	return "", &agentproto.Error{Kind: agentproto.ErrNotFound, Message: fmt.Sprintf("%s: not found in PATH=%s", name, path)}
}

// executable says why path cannot be run, or nil. The kernel has the last word.
func executable(path string) *agentproto.Error {
	st, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &agentproto.Error{Kind: agentproto.ErrNotFound, Message: path + ": no such program"}
	case err != nil:
		return &agentproto.Error{Kind: agentproto.ErrNotExecutable, Message: err.Error()}
	case st.IsDir():
		return &agentproto.Error{Kind: agentproto.ErrNotExecutable, Message: path + ": is a directory"}
	case st.Mode()&0o111 == 0:
		return &agentproto.Error{Kind: agentproto.ErrNotExecutable, Message: path + ": not executable"}
	}
	return nil
}
