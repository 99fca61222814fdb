#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# rpc-benchmark.sh: AOSP's benchmark of binder's transports: the kernel's, sockets, sockets with TLS. Its processes find
# each other through servicemanager.
. /run/aosp/checks.sh

transport() { says "$1 " /data/nativetest/binderRpcBenchmark --benchmark_filter="$1\$" --benchmark_min_time=0.1s; }

begin 4
check rpcBenchmark.PingKernel transport BM_pingTransaction/0
check rpcBenchmark.PingSocket transport BM_pingTransaction/1
check rpcBenchmark.PingTLS transport BM_pingTransaction/2
check rpcBenchmark.ObjectsKernel transport BM_repeatBinder/0
finish
