# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# Shared by every script in images/: progress lines, the content-keyed cache, and a private apt.
#
# The cache.  Everything downloaded or built lives in $CACHE, under NAME-KEY, where KEY is a hash of what it was made
# from (the scripts, the pinned bounds, the resolved package versions).  A directory is filled under a temporary name
# and renamed into place when it is whole, so an interrupted run never leaves half an image, and a change of an input
# never reuses an old one.  build/images is a farm of links into it.
#
# The private apt.  Suites other than the machine's own (backports, forky, sources) are read through an apt
# configuration of our own under $CACHE/apt: /etc/apt and the machine's package lists are not touched.  The mirror is
# the one that apt is already configured for.

set -Eeuo pipefail
trap 'printf "[images] failed: %s (%s line %s)\n" "$BASH_COMMAND" "${BASH_SOURCE[0]##*/}" "$LINENO" >&2' ERR
shopt -s inherit_errexit

IMAGES_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
TOP=$(dirname "$IMAGES_DIR")
BUILD=${BUILD:-$TOP/build}
LINKS=$BUILD/images
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/virtbinder
RESOLVED=$LINKS/resolved.txt
ARCH=amd64

say()  { printf '\033[1m[images %s]\033[0m %s\n' "$(date +%T)" "$*" >&2; }
die()  { printf '[images] error: %s\n' "$*" >&2; exit 1; }

# need PROGRAM PACKAGE...: says what is missing and installs it (root only); quiet when there.

need() {
	local prog=$1; shift
	command -v "$prog" >/dev/null && return
	install_debs "$@"
	command -v "$prog" >/dev/null || die "$prog is still missing after installing $*"
}

# install_debs PACKAGE...: installs from the machine's own suites.
install_debs() {
	[ "$(id -u)" = 0 ] || die "these Debian packages are missing and installing them needs root: $*; run: sudo apt-get install $*"
	say "installing Debian packages: $*"
	if [ -z "${APT_UPDATED:-}" ]; then
		apt-get -qq -o DPkg::Lock::Timeout=300 update || die "apt-get update failed; is the mirror reachable?"
		APT_UPDATED=1
	fi
	DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=300 --no-install-recommends \
		-o Dpkg::Use-Pty=0 install "$@" >"$BUILD/apt-install.log" 2>&1 ||
		{ tail -20 "$BUILD/apt-install.log" >&2; die "could not install $*; full log: $BUILD/apt-install.log"; }
}

# key WORD...: the hash of its arguments and of every file named with @FILE.
key() {
	local word
	for word; do
		case $word in
			@*) sha256sum <"${word#@}" ;;
			*) printf '%s\n' "$word" ;;
		esac
	done | sha256sum | cut -c1-16
}

# cached NAME-KEY FUNCTION ARGS...: runs FUNCTION in an empty directory and renames that to $CACHE/NAME-KEY, unless it
# is there already.  Prints nothing; several processes may ask for the same thing, one does the work.
cached() {
	local entry=$1 fn=$2 dir=$CACHE/$1 tmp; shift 2
	[ -d "$dir" ] && return
	mkdir -p "$CACHE/tmp"
	local lock
	exec {lock}>"$CACHE/tmp/$entry.lock"
	flock -n "$lock" || { say "another run is making $entry; waiting for it"; flock "$lock"; }
	if [ ! -d "$dir" ]; then
		rm -rf "$CACHE/tmp/$entry".?????? # of runs that did not finish
		tmp=$(mktemp -d "$CACHE/tmp/$entry.XXXXXX")
		# Not "|| die": a subshell in such a list would go on after errors.
		set +e
		(set -e; cd "$tmp"; "$fn" "$@")
		local status=$?
		set -e
		[ $status = 0 ] || die "making $entry failed; what was done of it is in $tmp"
		chmod 755 "$tmp"
		mv -T "$tmp" "$dir"
	fi
	exec {lock}>&-
}

# link TARGET NAME: makes build/images/NAME point at TARGET.
link() {
	mkdir -p "$(dirname "$LINKS/$2")"
	[ "$(readlink "$LINKS/$2" 2>/dev/null)" = "$1" ] || ln -sfnT "$1" "$LINKS/$2"
}

# resolved NAME VERSION...: records what was used.
resolved() {
	local name=$1; shift
	mkdir -p "$LINKS"
	(
		flock 9
		{ grep -v "^$name " "$RESOLVED" 2>/dev/null || true; printf '%s %s\n' "$name" "$*"; } | sort >"$RESOLVED.new"
		mv "$RESOLVED.new" "$RESOLVED"
	) 9>"$LINKS/.lock"
}

# mirror: the URI of the Debian archive that this machine's apt is configured for.
mirror() {
	local uri
	uri=${VIRTBINDER_MIRROR:-$(apt-get indextargets --format '$(REPO_URI) $(CODENAME)$(RELEASE)' 'Created-By: Packages' |
		sed -n 's/^\([^ ]*\) bookworm.*/\1/p; ' | grep -v -- -security | sort -u | head -1)}
	[ -n "$uri" ] || die "apt has no Debian bookworm source configured, so the mirror is unknown; set VIRTBINDER_MIRROR=URI"
	printf '%s\n' "${uri%/}"
}

# papt SUITE COMMAND ARGS...: apt-get, apt-cache or another apt program over one suite's private configuration.
papt() {
	local suite=$1 dir=$CACHE/apt/$1 cmd=$2; shift 2
	# The lists are read again after half a day: a mirror forgets old versions.
	if [ -z "$(find "$dir/ready" -mmin -720 2>/dev/null)" ]; then
		mkdir -p "$dir"
		(
			flock 9
			[ -n "$(find "$dir/ready" -mmin -720 2>/dev/null)" ] || papt_setup "$suite" "$dir"
		) 9>"$dir.lock"
	fi
	APT_CONFIG=$dir/apt.conf "$cmd" "$@"
}

papt_setup() {
	local suite=$1 dir=$2 uri
	uri=$(mirror)
	mkdir -p "$dir"/{sources,prefs,lists/partial,archives/partial,conf}
	local keyring=/usr/share/keyrings/debian-archive-keyring.gpg
	[ -f "$keyring" ] || install_debs debian-archive-keyring
	cat >"$dir/sources/debian.sources" <<-EOS
	Types: deb deb-src
	URIs: $uri
	Suites: ${suite//+/ }
	Components: main
	Signed-By: $keyring
	EOS
	: >"$dir/status"
	cat >"$dir/apt.conf" <<-EOS
	Dir::Etc::sourcelist "/dev/null";
	Dir::Etc::sourceparts "$dir/sources";
	Dir::Etc::preferences "/dev/null";
	Dir::Etc::preferencesparts "$dir/prefs";
	Dir::State::lists "$dir/lists";
	Dir::State::status "$dir/status";
	Dir::Cache "$dir";
	Dir::Cache::archives "$dir/archives";
	APT::Sandbox::User "root";
	APT::Architecture "$ARCH";
	APT::Architectures "$ARCH";
	Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
	Acquire::IndexTargets::deb::DEP-11-icons::DefaultEnabled "false";
	Acquire::IndexTargets::deb::DEP-11-icons-small::DefaultEnabled "false";
	Acquire::Languages "none";
	EOS
	# The machine's own post-invoke hooks are not ours to run.
	cat >>"$dir/apt.conf" <<-'EOS'
	#clear APT::Update::Post-Invoke;
	#clear APT::Update::Post-Invoke-Success;
	#clear DPkg::Post-Invoke;
	EOS
	say "reading the package lists of $suite"
	APT_CONFIG=$dir/apt.conf apt-get -qq update || die "reading the package lists of $suite from $uri failed"
	touch "$dir/ready"
}

# unpack_debs SUITE DIR PACKAGE[=VERSION]...: downloads (apt checks the sums) and unpacks into DIR, installs nothing.
unpack_debs() {
	local suite=$1 dir=$2 debs=$PWD/debs; shift 2
	mkdir -p "$debs" "$dir"
	(cd "$debs" && papt "$suite" apt-get -qq -o APT::Sandbox::User=root download "$@") ||
		die "downloading from $suite failed: $*"
	local deb
	for deb in "$debs"/*.deb; do dpkg-deb -x "$deb" "$dir"; done
	rm -rf "$debs"
}

# module_files KERNEL_DIR MODULE...: the files to insert, in order, each once; what is built into the kernel is left out.
module_files() {
	local dir=$1 kver module; shift
	kver=$(<"$dir/kver")
	for module; do
		grep -qE "/${module//[-_]/[-_]}\.ko" "$dir/modules/lib/modules/$kver/modules.builtin" 2>/dev/null && continue
		modprobe -d "$dir/modules" -S "$kver" --show-depends "$module" | sed -n 's/^insmod \([^ ]*\).*/\1/p' ||
			die "kernel $kver has no module $module"
	done | awk '!seen[$0]++'
}

# put_modules KERNEL_DIR OUT_DIR MODULE...: unpacks them into OUT_DIR and writes their names, in order, to OUT_DIR/order.
put_modules() {
	local dir=$1 out=$2 file name; shift 2
	mkdir -p "$out"
	: >"$out/order"
	module_files "$(realpath "$dir")" "$@" | while read -r file; do
		name=$(basename "${file%.xz}")
		case $file in
			*.xz) xz -dc "$file" >"$out/$name" ;;
			*) cp "$file" "$out/$name" ;;
		esac
		echo "$name" >>"$out/order"
	done
}

# mkcpio ARGS...: the archive writer of images/mkcpio, built on first use.
mkcpio() {
	[ -x "$BUILD/bin/mkcpio" ] && [ ! "$IMAGES_DIR/mkcpio/main.go" -nt "$BUILD/bin/mkcpio" ] ||
		(cd "$TOP" && CGO_ENABLED=0 "$IMAGES_DIR/go.sh" build -o "$BUILD/bin/mkcpio" ./images/mkcpio) || die "building images/mkcpio failed"
	"$BUILD/bin/mkcpio" "$@"
}
