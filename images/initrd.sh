#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# What a guest boots: initrd.sh SERIES...   (6.1, 6.12)
# build/guest/SERIES/vmlinuz, and initrd.cpio = the Android userspace (base.cpio) followed by overlay.cpio: our init,
# the guest driver, the stock modules it stands on, and the list of those to insert. Under /lib/modules/stock, inserted
# by nobody, lies what comparisons use: the kernel's own binder driver and vsock's loopback.
# In the build and not in the cache: two parts change with the source, and it takes a second.

. "$(dirname "$0")/lib.sh"

# virtio is built in on newer kernels, and left out of the list there.
MODULES=(virtio_pci pvpanic-mmio vmw_vsock_virtio_transport)
STOCK=(binder_linux vsock_loopback)

# The agent is this program unless AGENT names another /init.
agent() {
	[ -z "${AGENT:-}" ] || { realpath "$AGENT"; return; }
	(cd "$TOP" && CGO_ENABLED=0 "$IMAGES_DIR/go.sh" build -trimpath -ldflags '-s -w' -o "$BUILD/guest/agent" ./guest/agent) ||
		die "the guest agent does not build"
	echo "$BUILD/guest/agent"
}

stock_files() {
	local name
	put_modules "$kernel" "$out/stock" "${STOCK[@]}"
	for name in $(<"$out/stock/order"); do
		[ -e "$out/modules/$name" ] || echo "file /lib/modules/stock/$name 0644 $out/stock/$name"
	done
}

mkdir -p "$BUILD/guest"
init=$(agent)
base=$LINKS/android/base.cpio
[ -e "$base" ] || die "no Android userspace in build/images; run images/android/build.sh first"
for series; do
	kernel=$LINKS/guest/$series out=$BUILD/guest/$series
	[ -d "$kernel" ] || die "kernel $series is not there; run images/kernel.sh $series first"
	[ -e "$out/virtbinder.ko" ] || die "no guest driver for kernel $series; run images/module.sh $series first"
	rm -rf "$out/modules" "$out/stock"
	put_modules "$kernel" "$out/modules" "${MODULES[@]}"
	{ sed 's|^|/lib/modules/|' "$out/modules/order"; echo /lib/modules/virtbinder.ko; } >"$out/modules.list"
	{
		echo "file /init 0755 $init"
		echo "file /etc/virtbinder/modules 0644 $out/modules.list"
		echo "file /lib/modules/virtbinder.ko 0644 $out/virtbinder.ko"
		sed "s|.*|file /lib/modules/& 0644 $out/modules/&|" "$out/modules/order"
		stock_files
	} | mkcpio -o "$out/overlay.cpio"
	cat "$base" "$out/overlay.cpio" >"$out/initrd.cpio.new"
	mv "$out/initrd.cpio.new" "$out/initrd.cpio"
	ln -sfn "$(realpath "$kernel/vmlinuz")" "$out/vmlinuz"
	say "guest $series: build/guest/$series/{vmlinuz,initrd.cpio} ($(du -m "$out/initrd.cpio" | cut -f1) MB)"
done
