#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The initramfs of the lab's host ("L1") but for its init, which internal/lab adds with the job: l1.sh SERIES...
# Result: build/images/l1-initrd/SERIES.cpio, with busybox and the modules that init inserts, in /lib/l1 in the order
# of /lib/l1/order; binder_linux.ko lies beside them for runs that ask for it.

. "$(dirname "$0")/lib.sh"

MODULES=(9pnet_virtio 9p virtio_console kvm-amd tun)

make_l1() {
	local kernel=$1
	put_modules "$kernel" modules "${MODULES[@]}"
	put_modules "$kernel" binder binder_linux
	mv binder/binder_linux.ko modules/
	{
		cat "$LINKS/busybox/links"
		echo "tree /lib/l1 $PWD/modules"
		printf 'dir /%s 0755\n' proc sys dev run root home
		echo 'dir /tmp 1777'
		echo 'char /dev/console 0600 5 1'
	} | mkcpio -o "$PWD/initrd.cpio"
	rm -rf modules binder
}

"$IMAGES_DIR/busybox.sh"
for series; do
	kernel=$(realpath "$LINKS/l1/$series")
	[ -d "$kernel" ] || die "kernel $series is not there; run images/kernel.sh $series first"
	entry=l1-$series-$(key "$kernel" "${MODULES[@]}" "$(realpath "$LINKS/busybox")" "@$0" "@$IMAGES_DIR/mkcpio/main.go")
	cached "$entry" make_l1 "$kernel"
	link "$CACHE/$entry/initrd.cpio" "l1-initrd/$series.cpio"
done
