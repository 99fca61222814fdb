#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Installs what a fresh Debian 12 lacks for building: each line is a file or program and the package that has it.

. "$(dirname "$0")/lib.sh"

missing=()
while read -r what package; do
	[ -e "$what" ] || command -v "$what" >/dev/null || missing+=("$package")
done <<'EOS'
gcc gcc
/usr/include/stdio.h libc6-dev
make make
git git
xz xz-utils
zstd zstd
depmod kmod
checkpolicy checkpolicy
mmdebstrap mmdebstrap
mke2fs e2fsprogs
python3 python3-minimal
/etc/ssl/certs/ca-certificates.crt ca-certificates
/usr/share/keyrings/debian-archive-keyring.gpg debian-archive-keyring
/usr/lib/x86_64-linux-gnu/libelf.so.1 libelf1
EOS
[ ${#missing[@]} = 0 ] || install_debs "${missing[@]}"
