#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# What the lab's QEMU needs besides to run its microvm machine on the lab's host, which has no C library: firmware and
# glibc. Run it as build/images/microvm/qemu-system-x86_64. Only `make bench-boot` does.

. "$(dirname "$0")/lib.sh"

make_microvm() {
	local qemu=$1
	unpack_debs bookworm+bookworm-backports root "qemu-system-data=$(<"$qemu/version")" libc6
	mkdir lib
	mv root/usr/share/qemu/qboot.rom .
	cp -L root/lib/x86_64-linux-gnu/{libc.so.6,libm.so.6,ld-linux-x86-64.so.2} lib/
	cat >qemu-system-x86_64 <<-EOS
	#!/bin/sh
	here=\$(dirname "\$(readlink -f "\$0")")
	QEMU_MODULE_DIR=$qemu/modules exec "\$here/lib/ld-linux-x86-64.so.2" --library-path "\$here/lib:$qemu/lib" \
		"$qemu/bin/qemu-system-x86_64" -L "$qemu/share" "\$@"
	EOS
	chmod 755 qemu-system-x86_64
	rm -rf root
}

"$IMAGES_DIR/qemu.sh"
qemu=$(realpath "$LINKS/qemu")
entry=microvm-$(key "$qemu" "@$0")
cached "$entry" make_microvm "$qemu"
link "$CACHE/$entry" microvm
