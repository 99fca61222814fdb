#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# throughput.sh: AOSP's throughput test as a smoke test; how fast it is is measured elsewhere.
. /run/aosp/checks.sh
throughput() { says 'iterations per sec' /data/nativetest/binderThroughputTest "$@"; }
begin 4
check throughput.Pair throughput -w 2 -p -i 1000
check throughput.PairPage throughput -w 2 -p -s 4096 -i 1000
check throughput.TwoPairs throughput -w 4 -p -i 1000
check throughput.EveryoneWithEveryone throughput -w 8 -i 300
finish
