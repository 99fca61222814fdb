#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Debian kernels for the guest and for the lab's host: kernel.sh SERIES...  (6.1, 6.12, 7.x)
#
# One cache entry a series holds
#     vmlinuz            the bzImage, what a guest boots
#     vmlinux            the same kernel unpacked, what the lab's host boots under QEMU
#     modules/           a base for modprobe -d: lib/modules/KVER, pruned to what a virtual machine can use
#     headers/           headers and kbuild for building guest/module (headers/build is the directory for make -C)
#     kver, version      uname -r, and Debian's package version
# The kernel is not installed.  Which version: the newest of the series that the listed suites offer.

. "$(dirname "$0")/lib.sh"

# series_bounds SERIES: a package name pattern, the suites to ask in order, and whether headers are wanted.
series_bounds() {
	case $1 in
		6.1)  echo '6\.1\.[0-9]+-[0-9]+'      'bookworm bookworm-security' headers ;;
		6.12) echo '6\.12\.[0-9]+\+deb[0-9]+' 'bookworm-backports trixie' headers ;;
		7.x)  echo '7\.[0-9]+\.[0-9]+\+deb[0-9]+' 'forky sid' none ;;
		*) die "no such kernel series: $1; there are 6.1, 6.12 and 7.x" ;;
	esac
}

# find_kernel PATTERN SUITE...: prints "suite kver version" of the newest matching image.
find_kernel() {
	local pattern=$1 suite package; shift
	for suite; do
		papt "$suite" true
		package=$(papt "$suite" apt-cache pkgnames linux-image- | grep -E "^linux-image-$pattern-$ARCH\$" | sort -V | tail -1)
		[ -n "$package" ] || continue
		echo "$suite ${package#linux-image-} $(papt "$suite" apt-cache show --no-all-versions "$package" | sed -n 's/^Version: //p')"
		return
	done
	return 1
}

make_kernel() {
	local series=$1 pattern=$2 want_headers=${!#} suites found suite kver version
	suites=("${@:3:$#-3}")
	found=$(find_kernel "$pattern" "${suites[@]}") ||
		die "no Debian kernel of series $series (linux-image-$pattern-$ARCH) in ${suites[*]}; widen series_bounds in images/kernel.sh"
	read -r suite kver version <<<"$found"
	local packages=("linux-image-$kver=$version")
	if [ "$want_headers" = headers ]; then
		packages+=("linux-headers-$kver=$version" "linux-headers-${kver%-"$ARCH"}-common=$version")
		packages+=("$(papt "$suite" apt-cache depends "linux-headers-$kver" | sed -n 's/.*Depends: \(linux-kbuild-.*\)/\1/p')")
	fi
	# From 7.x on the image is split; older ones are one package.
	local part
	for part in base binary modules; do
		[ -z "$(papt "$suite" apt-cache pkgnames "linux-$part-$kver")" ] || packages+=("linux-$part-$kver=$version")
	done
	say "kernel $series: downloading ${packages[*]} from $suite"
	unpack_debs "$suite" root "${packages[@]}"
	echo "$kver" >kver
	echo "$version" >version
	mv "$(find root -type f -name "vmlinuz-$kver" -o -type f -path "*/$kver/vmlinuz")" vmlinuz
	unpack_bzimage vmlinuz >vmlinux
	keep_modules "$kver"
	[ "$want_headers" = none ] || keep_headers "$kver"
	rm -rf root
}

# unpack_bzimage FILE: prints the ELF image inside, found through the payload fields of the boot header.
unpack_bzimage() {
	local setup off len magic
	setup=$(u32 "$1" $((0x1f1)) 1)
	off=$(($(u32 "$1" $((0x248)) 4) + (setup + 1) * 512))
	len=$(u32 "$1" $((0x24c)) 4)
	magic=$(od -An -tx1 -j "$off" -N 4 "$1" | tr -d ' ')
	dd if="$1" bs=1M iflag=skip_bytes,count_bytes skip="$off" count=$((len - 4)) status=none | case $magic in
		28b52ffd) need zstd zstd; zstd -dcq ;;
		fd377a58) need xz xz-utils; xz -dcq --single-stream ;;
		1f8b*) gzip -dcq ;;
		*) die "$1: compressed in a way not known here (magic $magic)" ;;
	esac
}

u32() { od -An -tu"$3" -j "$2" -N "$3" "$1" | tr -d ' '; }

# keep_modules KVER: prunes drivers of real hardware and writes modules.dep.
keep_modules() {
	need depmod kmod
	local base=modules/lib/modules/$1
	mkdir -p "$(dirname "$base")"
	if [ -d "root/usr/lib/modules/$1/kernel" ]; then
		mv "root/usr/lib/modules/$1" "$base"
	else
		mv "root/lib/modules/$1" "$base"
	fi
	rm -f "$base/build" "$base/source"
	(cd "$base/kernel" && rm -rf sound net/{wireless,bluetooth,mac80211,can} \
		drivers/{accel,gpu,media,infiniband,staging,iio,hwmon,usb,scsi,ata,input,bluetooth,leds,mtd,nfc,mmc,isdn,comedi,firewire,thunderbolt,hid,video,nvme,parport,pcmcia,target,w1,soundwire,rtc,power,edac,i2c,gpio,spi,mfd,watchdog,platform} \
		drivers/net/{ethernet,wireless,usb,can,fddi,arcnet,hamradio,wan,phy,dsa})
	depmod -b "$PWD/modules" "$1" 2>depmod.log || { cat depmod.log >&2; die "depmod failed"; }
	rm -f depmod.log
}

# keep_headers KVER: the three header packages side by side, their absolute include made relative.
keep_headers() {
	local common=linux-headers-${1%-"$ARCH"}-common
	mkdir headers
	mv root/usr headers/usr
	[ ! -d root/lib ] || cp -a root/lib headers/lib
	[ -e headers/lib ] || ln -s usr/lib headers/lib
	echo "include \$(dir \$(realpath \$(lastword \$(MAKEFILE_LIST))))../$common/Makefile" >"headers/usr/src/linux-headers-$1/Makefile"
	rm -f "headers/usr/src/linux-headers-$1/vmlinux" # only BTF generation reads it
	ln -s "usr/src/linux-headers-$1" headers/build
}

for series; do
	read -r pattern suites <<<"$(series_bounds "$series")"
	entry=kernel-$series-$(key "$series" "$pattern" "$suites" "@$0")
	cached "$entry" make_kernel "$series" "$pattern" $suites
	dir=$CACHE/$entry
	resolved "linux-$series" "$(<"$dir/version") $(<"$dir/kver")"
	[ "$series" = 6.1 ] || link "$dir" "l1/$series"
	[ "$series" = 7.x ] || link "$dir" "guest/$series"
	say "kernel $series: $(<"$dir/version") ($(<"$dir/kver"))"
done
