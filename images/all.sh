#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# All images that do not change with our source: kernels, QEMU, mkbootimg, the lab's initramfs, Debian, the Android
# userspace.
# The Android userspace takes by far the longest, so it is made beside the rest.

. "$(dirname "$0")/lib.sh"

mkdir -p "$BUILD" "$CACHE"
mirror >/dev/null # one clear error instead of one from each part
set -m # a process group of its own, so that it ends with us
"$IMAGES_DIR/android/build.sh" &
android=$!
set +m
trap 'kill -- -"$android" 2>/dev/null || true' EXIT
"$IMAGES_DIR/mkbootimg.sh"
"$IMAGES_DIR/qemu.sh"
"$IMAGES_DIR/kernel.sh" 6.12 6.1 7.x
"$IMAGES_DIR/l1.sh" 6.12 7.x
"$IMAGES_DIR/debian.sh" tree
wait "$android" || die "the Android userspace is not there, see above"
