#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# QEMU 10 for the nested lab, from bookworm-backports.  bookworm's own 7.2 loses wake-ups in nested guests, and the
# machine's packages are left as they are: the program, the firmware it loads and every library it needs but glibc
# are unpacked into the cache.  Run it as build/images/qemu/qemu-system-x86_64.

. "$(dirname "$0")/lib.sh"

SUITES=bookworm+bookworm-backports
MINIMUM=1:10.0.2 # older ones break nested guests (docs: the lab)

make_qemu() {
	local version
	papt $SUITES true
	version=$(papt $SUITES apt-cache madison qemu-system-x86 | awk '$6 ~ /backports/ {print $3; exit}')
	[ -n "$version" ] && dpkg --compare-versions "$version" ge "$MINIMUM" ||
		die "bookworm-backports offers qemu-system-x86 '$version', needed is $MINIMUM or newer"
	say "QEMU: downloading qemu-system-x86 $version and its libraries from bookworm-backports"
	local closure=()
	mapfile -t closure < <(papt $SUITES apt-get -s install --no-install-recommends -t bookworm-backports "qemu-system-x86=$version" |
		sed -n 's/^Inst \([^ ]*\) (\([^ ]*\) .*/\1=\2/p' |
		grep -vE '^(libc6|debconf|adduser|passwd|libpam-.*|gcc-12-base|ipxe-qemu|libasound2-data|libaudit-common)=')
	unpack_debs $SUITES root "${closure[@]}"
	keep_qemu
	echo "$version" >version
	./qemu-system-x86_64 --version >/dev/null || die "the unpacked QEMU does not run on this machine; it needs glibc 2.36 or newer"
}

# keep_qemu: of all that was unpacked, the program, TCG's module, three firmware files and the library closure.
keep_qemu() {
	local libs=root/usr/lib/x86_64-linux-gnu f
	mkdir -p bin lib modules share
	mv root/usr/bin/qemu-system-x86_64 bin/
	for f in accel-tcg-x86_64.so hw-display-virtio-gpu.so; do
		[ ! -e "$libs/qemu/$f" ] || mv "$libs/qemu/$f" modules/
	done
	for f in bios-256k.bin linuxboot.bin linuxboot_dma.bin kvmvapic.bin multiboot.bin pvh.bin; do
		cp -L "$(find root/usr/share/seabios root/usr/share/qemu -name $f -type f | head -1)" share/
	done
	LD_LIBRARY_PATH=$libs:root/lib/x86_64-linux-gnu ldd bin/qemu-system-x86_64 modules/*.so |
		sed -n 's/.*=> \([^ ]*\) .*/\1/p' | grep '^root/\|'"^$PWD/root/" | sort -u | xargs cp -Lt lib/
	cat >qemu-system-x86_64 <<-'EOS'
	#!/bin/sh
	here=$(dirname "$(readlink -f "$0")")
	LD_LIBRARY_PATH=$here/lib QEMU_MODULE_DIR=$here/modules exec "$here/bin/qemu-system-x86_64" -L "$here/share" "$@"
	EOS
	chmod 755 qemu-system-x86_64
	rm -rf root
}

entry=qemu-$(key "$MINIMUM" "@$0")
cached "$entry" make_qemu
link "$CACHE/$entry" qemu
resolved qemu "$(<"$CACHE/$entry/version")"
say "QEMU: $(<"$CACHE/$entry/version")"
