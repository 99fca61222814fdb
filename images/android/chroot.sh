# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# The build root of the Android userspace: a minimal Debian forky with the compilers, aidl and libgbinder's tools.
# forky because its aidl is Android 14's.  Sourced after ../lib.sh.

CHROOT_SUITE=forky
CHROOT_PACKAGES=(
	clang lld g++ ninja-build python3-minimal aidl libclang-rt-dev
	googletest libgtest-dev libgmock-dev libbenchmark-dev android-libboringssl-dev
	libgbinder-tools libgbinder-dev python3-gbinder pkgconf busybox-static
)

# chroot_dir: where it is; made when it is not there.
chroot_dir() {
	local name
	name=chroot-$(key "$CHROOT_SUITE" "${CHROOT_PACKAGES[@]}" "@$IMAGES_DIR/android/chroot.sh")
	cached "$name" make_chroot
	printf '%s\n' "$CACHE/$name"
}

make_chroot() {
	local mirror root=$PWD suite_script=/usr/share/debootstrap/scripts/$CHROOT_SUITE
	need debootstrap debootstrap
	mirror=$(mirror)
	[ "$(id -u)" = 0 ] || die "building the Android userspace needs root (debootstrap, chroot); run it as root once, the result is cached"
	[ -e "$suite_script" ] || suite_script=${suite_script%/*}/sid # an older debootstrap; Debian's suites share one script
	say "debootstrap: Debian $CHROOT_SUITE (minimal) as build root, about 2 minutes"
	debootstrap --variant=minbase --arch="$ARCH" --keyring=/usr/share/keyrings/debian-archive-keyring.gpg \
		"$CHROOT_SUITE" "$root" "$mirror" "$suite_script" \
		>"$BUILD/debootstrap.log" 2>&1 || { tail -20 "$BUILD/debootstrap.log" >&2; die "debootstrap failed; log: $BUILD/debootstrap.log"; }
	say "installing in the build root: ${CHROOT_PACKAGES[*]}"
	echo 'path-exclude=/usr/share/doc/*
path-exclude=/usr/share/man/*
path-exclude=/usr/share/locale/*
force-unsafe-io' >"$root/etc/dpkg/dpkg.cfg.d/virtbinder"
	# What the machine's own apt accepts of the mirror (its age, say), the build root's accepts too.
	apt-config dump | grep -E '^Acquire::Check-' >"$root/etc/apt/apt.conf.d/90machine" || true
	in_chroot "$root" env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends \
		-o Dpkg::Use-Pty=0 install "${CHROOT_PACKAGES[@]}" >>"$BUILD/debootstrap.log" 2>&1 ||
		{ tail -20 "$BUILD/debootstrap.log" >&2; die "installing the build packages failed; log: $BUILD/debootstrap.log"; }
	rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
	in_chroot "$root" dpkg-query -W >"$root/packages.txt"
}

# in_chroot ROOT COMMAND...: runs it there with /proc, /dev and the directories named by BIND ("host:inside ..."), all in
# a mount and pid namespace of its own: nothing stays mounted and nothing stays running.
in_chroot() {
	local root=$1; shift
	BIND="${BIND:-}" unshare --mount --pid --fork --kill-child bash -euc '
		root=$1; shift
		mount --make-rprivate /
		mount -t proc proc "$root/proc"
		mount --rbind /dev "$root/dev"
		cp /etc/resolv.conf "$root/etc/resolv.conf"
		for b in $BIND; do mkdir -p "$root/${b#*:}"; mount --bind "${b%%:*}" "$root/${b#*:}"; done
		exec chroot "$root" "$@"' in_chroot "$root" "$@"
}
