#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# A static busybox from bookworm, for the lab's host and for small test guests: build/images/busybox/busybox.
# build/images/busybox/links is a list for mkcpio that makes every applet.

. "$(dirname "$0")/lib.sh"

make_busybox() {
	say "busybox: downloading busybox-static from bookworm"
	unpack_debs bookworm root busybox-static
	mv root/bin/busybox busybox || mv root/usr/bin/busybox busybox
	rm -rf root
	{
		echo "file /bin/busybox 0755 ${PWD%.*}/busybox"
		./busybox --list-full | sed 's|.*|link /& /bin/busybox|' | grep -vE ' /(bin/busybox|linuxrc|init|sbin/init) '
	} >links
	# The entry is renamed when it is whole: the list has to name its final place.
	sed -i "s|${PWD%.*}|$CACHE/$entry|" links
}

entry=busybox-$(key "@$0")
cached "$entry" make_busybox
link "$CACHE/$entry" busybox
