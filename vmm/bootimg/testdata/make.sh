#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Makes the images here anew, with Debian's mkbootimg: after images/mkbootimg.sh, by hand.

set -euo pipefail
cd "$(dirname "$0")"
mkbootimg=(python3 ../../../build/images/mkbootimg/usr/bin/mkbootimg --os_version 14.0.0 --os_patch_level 2024-05)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
printf 'the kernel' >"$tmp/kernel"
for name in generic platform recovery dlkm; do printf '<%s ramdisk>' "$name" >"$tmp/$name"; done
printf 'not used' >"$tmp/other"
printf 'androidboot.hardware=virt\n' >"$tmp/bootconfig"
long=$(printf 'long.argument.%03d=value ' $(seq 40)) # more than the first of two fields holds

base=(--kernel "$tmp/kernel" --ramdisk "$tmp/generic")
"${mkbootimg[@]}" "${base[@]}" --header_version 0 --second "$tmp/other" --cmdline "$long" --output v0.img
"${mkbootimg[@]}" "${base[@]}" --header_version 1 --pagesize 4096 --recovery_dtbo "$tmp/other" --cmdline 'one two' --output v1.img
"${mkbootimg[@]}" "${base[@]}" --header_version 2 --dtb "$tmp/other" --cmdline 'one two' --output v2.img
"${mkbootimg[@]}" --header_version 3 "${base[@]}" --cmdline 'one two' --output v3.img
"${mkbootimg[@]}" --header_version 4 "${base[@]}" --cmdline 'one two' --output v4.img
"${mkbootimg[@]}" --header_version 3 --vendor_ramdisk "$tmp/platform" --dtb "$tmp/other" --pagesize 2048 --vendor_cmdline 'three four' --vendor_boot vendor3.img
"${mkbootimg[@]}" --header_version 4 --vendor_ramdisk "$tmp/platform" --dtb "$tmp/other" --pagesize 4096 --vendor_cmdline 'three four' \
	--vendor_bootconfig "$tmp/bootconfig" \
	--ramdisk_type recovery --ramdisk_name r --vendor_ramdisk_fragment "$tmp/recovery" \
	--ramdisk_type dlkm --ramdisk_name modules --vendor_ramdisk_fragment "$tmp/dlkm" --vendor_boot vendor4.img
gzip -9nf ./*.img
