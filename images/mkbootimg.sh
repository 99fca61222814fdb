#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# mkbootimg, which makes Android boot images, from Debian 13: bookworm's knows header versions up to 3.
# Run it as build/images/mkbootimg/usr/bin/mkbootimg.

. "$(dirname "$0")/lib.sh"

need python3 python3-minimal
entry=mkbootimg-$(key "@$0")
cached "$entry" unpack_debs trixie . mkbootimg
link "$CACHE/$entry" mkbootimg
