#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Builds the guest driver, guest/module, for Debian kernels: module.sh SERIES...   (6.1, 6.12)
#
# kbuild writes beside its sources, so they are copied to build/guest/SERIES/ first; the result is
# build/guest/SERIES/virtbinder.ko.  Warnings of W=1 are errors.  MODULE and MODULE_SOURCE name another module and its
# directory.

. "$(dirname "$0")/lib.sh"

need gcc gcc libc6-dev
need make make

name=${MODULE:-virtbinder}
source_dir=${MODULE_SOURCE:-$TOP/guest/module}
[ -e "$source_dir/Kbuild" ] || [ -e "$source_dir/Makefile" ] ||
	die "no Kbuild in $source_dir: the source of $name is not there"

for series; do
	headers=$LINKS/guest/$series/headers/build
	[ -d "$headers" ] || die "no headers for kernel $series in build/images; run images/kernel.sh $series first"
	out=$BUILD/guest/$series
	work=$out/module${MODULE:+-$MODULE}
	mkdir -p "$work" "$out/uapi"
	cp -pu "$source_dir"/* "$work/"
	[ ! -d "$TOP/guest/uapi" ] || cp -pu "$TOP"/guest/uapi/*.h "$out/uapi/"
	say "$name.ko for kernel $series"
	# No BTF: that would need pahole and the kernel's vmlinux.
	make -s -C "$(realpath "$headers")" M="$work" W=1 KCFLAGS=-Werror CONFIG_DEBUG_INFO_BTF_MODULES= modules \
		>"$work.log" 2>&1 || { cat "$work.log" >&2; die "$name does not build for kernel $series"; }
	if grep -i 'warning' "$work.log" | grep -v 'compiler differs' >&2; then
		die "$name builds with warnings for kernel $series; log: $work.log"
	fi
	strip --strip-debug -o "$out/$name.ko" "$work/$name.ko" # debug information stays there
done
