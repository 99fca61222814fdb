#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# setup.sh: once for each guest, what AOSP's tests want to find, and the stock driver beside ours.
set -eu
modules=/lib/modules/stock
for name in $(ls $modules | grep -v '^binder_linux'); do
	grep -q "^${name%.ko} " /proc/modules || insmod $modules/$name
done
insmod $modules/binder_linux.ko devices=stock-binder,stock-hwbinder,stock-vndbinder
mkdir -p /sys/fs/cgroup/uid_0 /dev/binderfs /data/local/tmp
echo "lsm: $(cat /sys/kernel/security/lsm)"
