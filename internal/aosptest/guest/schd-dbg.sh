#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# schd-dbg.sh: whether calls of a real-time thread are served at its nice value, and whether calls arrive at all.
. /run/aosp/checks.sh
begin 1
check schdDbg.Inheritance says '"inheritance": "PASS"' /data/nativetest/schd-dbg -i 100
finish
