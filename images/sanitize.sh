#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# A small kernel 6.12 for guests that sanitizes: KASAN, UBSAN, lockdep, kmemleak and more, as sanitize.config says.
# Built from Debian's linux-source-6.12, the newest that the machine's apt or bookworm-backports has.
#
# The cache entry, build/images/guest/sanitize, is laid out as those of kernel.sh: to module.sh and initrd.sh it is
# one more series.

. "$(dirname "$0")/lib.sh"

SOURCE=linux-source-6.12
CONFIG=$IMAGES_DIR/sanitize.config

need_tools() {
	need gcc gcc libc6-dev
	need make make
	need flex flex
	need bison bison
	need bc bc
	need xz xz-utils
	need zstd zstd
	[ -e /usr/include/gelf.h ] || install_debs libelf-dev
}

candidate() { "$@" policy "$SOURCE" 2>/dev/null | sed -n 's/^ *Candidate: \([0-9].*\)/\1/p'; }

# fetch_source: downloads the newer of the two into the current directory and prints its version.
fetch_source() {
	local own backports
	own=$(candidate apt-cache)
	backports=$(candidate papt bookworm-backports apt-cache)
	[ -n "$own$backports" ] || die "neither this machine's apt nor bookworm-backports has $SOURCE"
	if [ -n "$own" ] && dpkg --compare-versions "$own" gt "${backports:-0}"; then
		apt-get -qq -o APT::Sandbox::User=root download "$SOURCE=$own" >&2
		echo "$own"
	else
		papt bookworm-backports apt-get -qq -o APT::Sandbox::User=root download "$SOURCE=$backports" >&2
		echo "$backports"
	fi
}

# configure: everything off but what sanitize.config names; a name in it that this kernel does not take is an error.
configure() {
	make -s allnoconfig KCONFIG_ALLCONFIG="$CONFIG" >&2
	local refused
	refused=$(grep ^CONFIG_ "$CONFIG" | grep -vxFf .config || true)
	[ -z "$refused" ] || die "$SOURCE does not take this of sanitize.config: $refused"
}

make_sanitize() {
	local entry=$PWD log=$BUILD/sanitize-kernel.log
	need_tools
	fetch_source >version
	say "sanitizing kernel: building $SOURCE $(<version), which takes 10 to 30 minutes; log: $log"
	dpkg-deb -x ./*.deb source
	tar -xJf source/usr/src/$SOURCE.tar.xz -C source
	cd source/$SOURCE
	configure
	nice make -s -j"$(nproc)" bzImage modules >"$log" 2>&1 || { tail -20 "$log" >&2; die "the kernel does not build"; }
	make -s INSTALL_MOD_PATH="$entry/modules" INSTALL_MOD_STRIP=1 modules_install >>"$log" 2>&1
	make -s run-command KBUILD_RUN_COMMAND="\$(srctree)/scripts/package/install-extmod-build $entry/headers/build" >>"$log" 2>&1
	make -s kernelrelease >"$entry/kver"
	cp arch/x86/boot/bzImage "$entry/vmlinuz"
	cp .config "$entry/config"
	cd "$entry"
	rm -rf source ./*.deb modules/lib/modules/*/build
}

entry=sanitize-$(key "$SOURCE" "@$CONFIG" "@$0")
cached "$entry" make_sanitize
dir=$CACHE/$entry
resolved linux-sanitize "$(<"$dir/version") $(<"$dir/kver")"
link "$dir" guest/sanitize
say "sanitizing kernel: $(<"$dir/version") ($(<"$dir/kver"))"
