#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Runs go: go.sh ARGS...  The machine's own from 1.21 on (it fetches the toolchain that go.mod names through the module
# proxy); else the one of bookworm-backports, unpacked into the cache and not installed.

usable() { command -v "$1" >/dev/null && GOTOOLCHAIN=local "$1" env GOVERSION 2>/dev/null | grep -qE '^go1\.(2[1-9]|[3-9][0-9])|^go([2-9]|1[0-9])\.'; }

export GOTOOLCHAIN=${GOTOOLCHAIN:-auto} # Debian's go says "local"
for go in go /usr/local/go/bin/go /usr/lib/go-1.2[1-9]/bin/go; do
	if (cd / && usable "$go"); then
		exec "$go" "$@"
	fi
done

. "$(dirname "$0")/lib.sh"

make_go() {
	local suite=bookworm-backports package
	papt $suite true
	package=$(papt $suite apt-cache pkgnames golang-1. | grep -E '^golang-1\.[0-9]+-go$' | sort -V | tail -1)
	[ -n "$package" ] || die "$suite has no golang; install Go 1.21 or newer and put it on PATH"
	say "no Go 1.21 or newer on this machine: unpacking $package from $suite into the cache"
	unpack_debs $suite . "$package" "${package%-go}-src"
	mv usr/lib/go-1.* usr/lib/go
	rm -rf usr/share/doc usr/share/lintian
	[ -x usr/lib/go/bin/go ] || die "$package has no bin/go where it was expected"
}

entry=go-$(key "@$0")
cached "$entry" make_go
GOROOT=$CACHE/$entry/usr/lib/go exec "$CACHE/$entry/usr/lib/go/bin/go" "$@"
