#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Builds the guest driver, guest/module, for Debian kernels: module.sh SERIES...   (6.1, 6.12)
#
# kbuild writes beside its sources, so they are copied to build/guest/SERIES/ first; the result is
# build/guest/SERIES/virtbinder.ko.  Warnings of W=1 are errors.  MODULE_SOURCE names another directory to build.

. "$(dirname "$0")/lib.sh"

need gcc gcc libc6-dev
need make make

source_dir=${MODULE_SOURCE:-$TOP/guest/module}
[ -e "$source_dir/Kbuild" ] || [ -e "$source_dir/Makefile" ] ||
	die "no Kbuild in $source_dir: the guest driver's source is not there"

for series; do
	headers=$LINKS/guest/$series/headers/build
	[ -d "$headers" ] || die "no headers for kernel $series in build/images; run images/kernel.sh $series first"
	out=$BUILD/guest/$series
	mkdir -p "$out/module" "$out/uapi"
	cp -pu "$source_dir"/* "$out/module/"
	[ ! -d "$TOP/guest/uapi" ] || cp -pu "$TOP"/guest/uapi/*.h "$out/uapi/"
	say "guest driver for kernel $series"
	# No BTF: that would need pahole and the kernel's vmlinux.
	make -s -C "$(realpath "$headers")" M="$out/module" W=1 KCFLAGS=-Werror CONFIG_DEBUG_INFO_BTF_MODULES= modules \
		>"$out/module.log" 2>&1 || { cat "$out/module.log" >&2; die "the guest driver does not build for kernel $series"; }
	if grep -i 'warning' "$out/module.log" | grep -v 'compiler differs' >&2; then
		die "the guest driver builds with warnings for kernel $series; log: $out/module.log"
	fi
	strip --strip-debug -o "$out/virtbinder.ko" "$out/module/virtbinder.ko" # debug information stays in module/
done
