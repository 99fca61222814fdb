#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# A stock Debian 12 for a guest, made with mmdebstrap: its own kernel and initramfs, systemd, a login, and the guest
# driver where its kernel looks for modules. build/debian/{vmlinuz,initrd.img,root.ext4}
#
# The cache has the tree ("debian.sh tree" makes only that); the ext4 image is made of it and of the driver, in a few
# seconds, whenever that has changed.
# Drivers of hardware that no virtual machine has are left out of the tree, as documentation is.

. "$(dirname "$0")/lib.sh"

SERIES=6.1 # bookworm's own
PACKAGES=systemd-sysv,dbus,udev,kmod,initramfs-tools,zstd
ABSENT=(drivers/{gpu,media,infiniband,staging,iio,hwmon,usb,scsi,ata,isdn,comedi,firewire,thunderbolt,nvme,mtd,nfc,mmc,bluetooth}
	drivers/net/{ethernet,wireless,usb,can} net/{wireless,bluetooth,mac80211,can} sound)

make_root() {
	local kver=$1 mirror=$2 options=() path
	for path in /usr/share/{doc,man,locale,info} "${ABSENT[@]/#//lib/modules/$kver/kernel/}"; do
		options+=(--dpkgopt="path-exclude=$path/*")
	done
	say "Debian root file system: mmdebstrap with linux-image-$kver"
	mmdebstrap --mode=root --variant=minbase --include="$PACKAGES,linux-image-$kver" \
		--aptopt='APT::Install-Recommends "false"' "${options[@]}" \
		--essential-hook="$(declare -f slim_initramfs); slim_initramfs \"\$1\"" \
		bookworm root "$mirror" >mmdebstrap.log 2>&1 || { tail -30 mmdebstrap.log >&2; die "mmdebstrap failed"; }
	configure root
	mv "root/boot/vmlinuz-$kver" vmlinuz
	mv "root/boot/initrd.img-$kver" initrd.img
	chmod 644 initrd.img
	rm -rf root/boot/* root/var/cache/apt root/var/lib/apt/lists mmdebstrap.log
}

# slim_initramfs ROOT: the modules of a virtual disk and console, before the kernel's installation makes the initramfs.
slim_initramfs() {
	mkdir -p "$1/etc/initramfs-tools/conf.d" "$1/usr/share/initramfs-tools/modules.d"
	printf 'virtio_pci\nvirtio_blk\nvirtio_console\next4\n' >"$1/usr/share/initramfs-tools/modules.d/virtual"
	printf 'MODULES=list\nCOMPRESS=zstd\nCOMPRESSLEVEL=3\n' >"$1/etc/initramfs-tools/conf.d/virtual"
}

# configure ROOT: what an installer would ask, and nothing that runs by itself.
configure() {
	local unit
	echo virtbinder >"$1/etc/hostname"
	echo '/dev/vda / ext4 errors=remount-ro 0 1' >"$1/etc/fstab"
	sed -i 's/^root:[^:]*/root:/' "$1/etc/shadow" # no password
	: >"$1/etc/machine-id"
	cp -a "$IMAGES_DIR"/debian/. "$1/etc/systemd/"
	systemctl --root="$1" -q enable systemd-networkd.service echo.socket
	for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer \
		systemd-pstore.service systemd-networkd-wait-online.service; do
		ln -sf /dev/null "$1/etc/systemd/system/$unit"
	done
}

# make_image ROOT KVER MODULE OUT: the tree with the driver in it, as ext4.
make_image() {
	local root=$1 kver=$2 module=$3 out=$4
	install -D -m 644 "$module" "$root/lib/modules/$kver/updates/virtbinder.ko"
	depmod -b "$root" "$kver"
	rm -f "$out"
	mke2fs -q -t ext4 -d "$root" -E root_owner=0:0 "$out.new" 768M
	mv "$out.new" "$out"
}

[ "$(id -u)" = 0 ] || die "a root file system has files of several owners: images/debian.sh needs root"
kver=$(<"$LINKS/guest/$SERIES/kver")
entry=debian-$(key "$kver" "@$0" "$(cat "$IMAGES_DIR"/debian/*/*)")
cached "$entry" make_root "$kver" "$(mirror)"
[ "${1:-}" != tree ] || exit 0
module=$BUILD/guest/$SERIES/virtbinder.ko
[ -e "$module" ] || die "no guest driver for kernel $SERIES; run images/module.sh $SERIES first"
out=$BUILD/debian
mkdir -p "$out"
for file in vmlinuz initrd.img; do ln -sfn "$CACHE/$entry/$file" "$out/$file"; done
made=$(key "$entry" "@$module")
if [ "$(cat "$out/made" 2>/dev/null)" != "$made" ]; then
	( # one writer of the tree's modules at a time
		flock 9
		make_image "$CACHE/$entry/root" "$kver" "$module" "$out/root.ext4"
	) 9>"$CACHE/tmp/$entry.image.lock"
	echo "$made" >"$out/made"
fi
say "Debian: build/debian/{vmlinuz,initrd.img,root.ext4} ($(du -m "$out/root.ext4" | cut -f1) MB)"
