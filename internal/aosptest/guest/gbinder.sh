#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# gbinder.sh DEVICE: libgbinder's tools and its Python binding, none of which know libbinder, on one device. There is no
# hwservicemanager in AOSP's source package: on hwbinder a servicemanager serves, and libgbinder is told so; what travels
# in scatter-gather objects, HIDL's strings, does so all the same.
. /run/aosp/lib.sh
. /run/aosp/checks.sh
device=$1

if [ "$device" != /dev/binder ]; then
	printf '[Protocol]\n%s = aidl3\n[ServiceManager]\n%s = aidl3\n' "$device" "$device" >/tmp/gbinder.conf
	mount --bind /tmp/gbinder.conf /etc/gbinder.conf
	start_manager /system/bin/servicemanager "$device"
fi

python() { python3 -S /run/aosp/python_checks.py "$device" "$@"; }

oneway() {
	binder-call -o -d "$device" demo.echo 2 7 # what it prints and returns is the same for a failure
	wait_for 100 grep -q '^call: code 2 .* oneway' /tmp/demo.echo.log
}

gone() {
	kill -9 $service_pid
	wait_for 100 sh -c "! binder-list -d $device | grep -q demo.echo"
}

begin 11
check gbinder.Register start_service demo.echo "$device"
check gbinder.List says demo.echo binder-list -d "$device"
check gbinder.Ping binder-ping -d "$device" demo.echo
check gbinder.Call says '0 "hello from demo.echo"' binder-call -d "$device" demo.echo 1 reply i32 s16
check gbinder.CallHidlString says '0 "patched pointer"' binder-call -d "$device" demo.echo 4 '"patched pointer"h' reply i32 hstr
check gbinder.CallOneway oneway
check python.List python list
check python.Call python call
check python.CallHidlString python hidl
check python.Sender python sender
check gbinder.ServiceDies gone
finish
