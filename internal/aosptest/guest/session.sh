#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# session.sh virtbinder|stock COMMAND...: runs a command where /dev/binder, hwbinder and vndbinder are that driver's, with
# a servicemanager of its own and the service that NDK tests take for granted. Started in a mount namespace of its own
# (unshare -m). Exits 97 if the driver does not serve servicemanager.
set -eu
. /run/aosp/lib.sh
driver=$1
shift
join

mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /data/local/tmp
if [ "$driver" = stock ]; then
	for name in binder hwbinder vndbinder; do mount --bind /dev/stock-$name /dev/$name; done
fi
if [ "$driver" = virtbinder ] && grep -qw binder /proc/filesystems; then
	mount -t binder binder /dev/binderfs
else # libbinder looks here for what the driver can do; Debian's kernels have the ioctls and no binderfs
	mount -t tmpfs tmpfs /dev/binderfs
	mkdir /dev/binderfs/features
	for feature in oneway_spam_detection extended_error; do echo 1 >/dev/binderfs/features/$feature; done
fi

start_manager /system/bin/servicemanager
start_service SurfaceFlinger || leave 97

set +e
"$@"
leave $?
