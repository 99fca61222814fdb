// SPDX-License-Identifier: Apache-2.0

package aosptest

import (
	"regexp"
	"time"
)

// program is one program of the suite.
type program struct {
	name    string
	command []string // in the guest; by absolute path: called by a bare name, binderLibTest skips everything
	env     []string
	shard   []string // more of env: which part of the tests is run
	filter  string   // for gtest; all if empty
	script  bool     // one of ours around a program: its tests cannot be chosen
	brief   bool     // does not take long: part of a brief run
	least   int      // of its tests pass on the stock driver; if fewer do, the guest lacks something
}

const (
	testDir   = "/data/nativetest/"
	scriptDir = "/run/aosp/"
	vsockRoom = scriptDir + "vsock.so" // of guest/vsock.c
)

// patience bounds how long a program may say nothing: what one test may need in the
// nested lab on a busy machine, whose clock runs too fast then, besides.
const patience = 30 * time.Minute

func gtest(name string, least int) program {
	return program{name: name, command: []string{testDir + name}, least: least}
}

func script(name string, least int, file string, args ...string) program {
	return program{name: name, command: append([]string{"/bin/sh", scriptDir + file}, args...), least: least,
		script: true, brief: true}
}

func (p program) only(filter string) program { p.filter = filter; return p }
func (p program) with(env ...string) program { p.env = env; return p }
func (p program) half() program {
	p.shard = []string{"GTEST_TOTAL_SHARDS=2", "GTEST_SHARD_INDEX=0"}
	return p
}
func (p program) inBrief() program { p.brief = true; return p }

// choose returns the programs whose names match; if tests are named by a filter, only
// those that have such and as if they were all of the program's.
func choose(only *regexp.Regexp, tests string, brief bool) []program {
	var list []program
	for _, p := range catalogue {
		if !only.MatchString(p.name) || brief && !p.brief {
			continue
		}
		if tests != "" {
			if p.script {
				continue
			}
			p.filter, p.shard, p.least = tests, nil, 1
		}
		list = append(list, p)
	}
	return list
}

// catalogue is every program, in the order in which they are run.
var catalogue = []program{
	gtest("binderDriverInterfaceTest", 17).inBrief(),
	gtest("binderLibTest", 54).inBrief(),
	gtest("binderSafeInterfaceTest", 17).inBrief(),
	gtest("binderStabilityTest", 10).inBrief(),
	gtest("binderClearBufTest", 1).inBrief(),
	gtest("binderAllocationLimits", 7).inBrief(),
	gtest("libbinder_ndk_unit_test", 40),
	gtest("binderRecordReplayTest", 18),
	gtest("binderUnitTest", 38),
	gtest("binderTextOutputTest", 59),
	gtest("servicemanager_test", 28),
	gtest("binderUtilsHostTest", 4),
	gtest("binderRpcWireProtocolTest", 6),
	gtest("RpcTlsUtilsTest", 8),
	// The service that its other tests talk to is another build of libbinder, without
	// kernel binder; and of what is left, the current version of the protocol in one
	// shard of two.
	gtest("binderRpcTest", 185).only("PerSocket/*clientV1_serverV1_multi_threaded_with_kernel:BinderRpc.*:BinderRpcParcel.*").
		half().with("LD_PRELOAD=" + vsockRoom),
	script("schd-dbg", 1, "schd-dbg.sh"),
	script("binderThroughputTest", 4, "throughput.sh"),
	script("binderRpcBenchmark", 4, "rpc-benchmark.sh"),
	script("servicemanager, service, dumpsys", 6, "tools.sh"),
	script("libgbinder, binder", 11, "gbinder.sh", "/dev/binder"),
	script("libgbinder, hwbinder", 11, "gbinder.sh", "/dev/hwbinder"),
}
