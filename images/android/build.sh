#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The guests' Android userspace: build/images/android/base.cpio.
#
#   1. a Debian forky build root             (chroot.sh)
#   2. AOSP 14's source, as Debian has it: the pristine tarball of android-platform-tools, its sum pinned here
#   3. libbinder, servicemanager, service, dumpsys, ... built for glibc     (generate.py, ninja)
#   4. with libgbinder's tools, two small programs of ours on it (programs/), busybox and the libraries they all need,
#      an initramfs archive
#
# AOSP's own tests come out beside it, as build/images/android/tests.cpio (/data/nativetest, and python3 with
# libgbinder's binding), to be appended to a guest's initramfs by those who want them.
#
# Each step has a cache entry of its own. The build root is removed once step 3 is done, unless
# VIRTBINDER_KEEP_CHROOT is set; nothing of it runs outside the chroot.

. "$(dirname "$0")/../lib.sh"
. "$IMAGES_DIR/android/chroot.sh"

SOURCE_PACKAGE=android-platform-tools
SOURCE_TARBALL=android-platform-tools_34.0.5.orig.tar.xz
SOURCE_SHA256=4893f6a85b205f1df2c35cde5d6ca3bedd5e9f19afdb3b5ac781e647aa2243f4
SOURCE_SUITES=(forky sid trixie)

RECIPE=$IMAGES_DIR/android
TOOLS=(/usr/bin/binder-{list,ping,call,bridge}) # of libgbinder-tools

# The pristine tarball only: Debian's own part of the source is not needed, and older revisions of it vanish.
fetch_source() {
	local suite
	for suite in "${SOURCE_SUITES[@]}"; do
		say "AOSP 14: downloading $SOURCE_TARBALL (19 MB) from the sources of $suite"
		papt "$suite" apt-get -qq source --tar-only --download-only "$SOURCE_PACKAGE" >apt.log 2>&1 || true
		[ ! -e "$SOURCE_TARBALL" ] || break
	done
	[ -e "$SOURCE_TARBALL" ] || { cat apt.log >&2; die "no $SOURCE_TARBALL in the sources of ${SOURCE_SUITES[*]}"; }
	echo "$SOURCE_SHA256  $SOURCE_TARBALL" | sha256sum --check --quiet ||
		die "$SOURCE_TARBALL is not the file that was pinned (sha256 $SOURCE_SHA256)"
	rm -f apt.log
}

# build_android TARBALL: leaves root/, the part of the guest's file system that has machine code.
build_android() {
	local chroot work=$PWD
	chroot=$(chroot_dir)
	mkdir src out
	say "AOSP 14: unpacking"
	tar -xf "$1" -C src --strip-components=1
	say "AOSP 14: building libbinder, servicemanager and friends; 3 to 7 minutes, log in $BUILD/android.log"
	BIND="$work/src:/src $work/out:/out $RECIPE:/recipe" in_chroot "$chroot" bash -euc '
		cd /out
		python3 /recipe/generate.py /src /recipe/shims /out >build.ninja
		nice -n 15 ninja' >"$BUILD/android.log" 2>&1 || {
		grep -E '^FAILED|error:' "$BUILD/android.log" | head -20 >&2
		die "building the Android userspace failed; log: $BUILD/android.log"
	}
	mv out/root root
	mv out/tests tests
	BIND="$work/root:/root-fs $work/tests:/tests" in_chroot "$chroot" \
		bash -euc "$(declare -f collect_programs collect_tests libraries_of); collect_programs ${TOOLS[*]}; collect_tests"
	cp "$chroot/packages.txt" .
	rm -rf src out
}

# The next three run in the build root, the guest's file system being /root-fs, what tests.cpio adds to it /tests.

# collect_programs PROGRAM...: copies the programs of the build root and every library that these and our own need.
collect_programs() {
	local dir=/usr/lib/x86_64-linux-gnu
	mkdir -p "/root-fs/usr/bin" "/root-fs$dir" "/root-fs/lib64" "/root-fs/bin"
	cp -L "$@" /root-fs/usr/bin/
	cp -L "$(command -v busybox)" /root-fs/bin/busybox
	libraries_of /root-fs/system /root-fs/usr/bin | xargs cp -Lt "/root-fs$dir"
	cp -L /lib64/ld-linux-x86-64.so.2 /root-fs/lib64/
}

# collect_tests: python3 (to be run with -S) with gbinder and the modules that these load, nothing more; then the
# libraries of it and of AOSP's tests.
collect_tests() {
	local lib
	install -D /usr/bin/python3 /tests/usr/bin/python3
	python3 -S -c 'import sys
sys.path.append("/usr/lib/python3/dist-packages")
import gbinder, os
print(*{m.__file__ for m in sys.modules.values() if getattr(m, "__file__", None)}, sep="\n")' |
		xargs cp --parents -t /tests
	libraries_of /tests | while read -r lib; do
		lib=/usr${lib#/usr}
		[ -e "/root-fs$lib" ] || install -D -m 644 "$lib" "/tests$lib"
	done
}

# libraries_of DIR...: the build root's libraries that programs there need.
libraries_of() {
	find "$@" -type f -exec ldd {} + 2>/dev/null | sed -n 's/.*=> \(\/[^ ]*\) .*/\1/p' | grep -v '^/root-fs' | sort -u
}

# compose_base ROOT: the archive.
compose_base() {
	{
		printf 'dir /%s 0755\n' proc sys dev run root data data/local mnt etc lib sbin usr/sbin
		printf 'dir /%s 1777\n' tmp data/local/tmp
		echo 'char /dev/console 0600 5 1'
		echo 'char /dev/null 0666 1 3'
		echo "tree / $1/root"
		echo "tree /etc $RECIPE/etc"
		"$1/root/bin/busybox" --list-full |
			grep -vE '^(bin/busybox|linuxrc|init|sbin/init)$' | sed 's|.*|link /& /bin/busybox|'
	} | mkcpio -o base.cpio
	echo "tree / $1/tests" | mkcpio -o tests.cpio
}

source_entry=aosp-source-${SOURCE_SHA256:0:16}
android_entry=android-$(key $SOURCE_SHA256 "@$RECIPE/chroot.sh" "@$RECIPE/build.sh" "@$RECIPE/generate.py" \
	$(find "$RECIPE/shims" "$RECIPE/programs" -type f | sort | sed 's/^/@/'))
if [ ! -d "$CACHE/$android_entry" ]; then
	cached "$source_entry" fetch_source
	cached "$android_entry" build_android "$CACHE/$source_entry/$SOURCE_TARBALL"
	if [ -z "${VIRTBINDER_KEEP_CHROOT:-}" ]; then
		say "removing the build root (VIRTBINDER_KEEP_CHROOT=1 would keep it)"
		rm -rf "$CACHE"/chroot-*
	fi
fi
base_entry=base-$(key "$android_entry" "@$RECIPE/build.sh" "@$IMAGES_DIR/mkcpio/main.go" $(find "$RECIPE/etc" -type f | sort | sed 's/^/@/'))
cached "$base_entry" compose_base "$CACHE/$android_entry"
link "$CACHE/$base_entry/base.cpio" android/base.cpio
link "$CACHE/$base_entry/tests.cpio" android/tests.cpio
link "$CACHE/$android_entry/root" android/root
resolved aosp "$SOURCE_TARBALL $SOURCE_SHA256"
resolved libgbinder-tools "$(sed -n 's/^libgbinder-tools[^\t]*\t//p' "$CACHE/$android_entry/packages.txt")"
say "Android userspace: $(du -Lm "$LINKS/android/base.cpio" | cut -f1) MB in build/images/android/base.cpio"
