// SPDX-License-Identifier: Apache-2.0

package aosptest

import "time"

// program is one program of the suite.
type program struct {
	name    string
	command []string // in the guest; by absolute path: called by a bare name, binderLibTest skips everything
	env     []string
	filter  string // for gtest; all if empty
	script  bool   // one of ours around a program: its tests cannot be chosen
	brief   bool   // part of the short run too
	timeout time.Duration
}

const (
	testDir   = "/data/nativetest/"
	scriptDir = "/run/aosp/"
)

// A program's time is bounded by what the nested lab on a busy machine may need.
const patience = 6 * time.Minute

func gtest(name string) program {
	return program{name: name, command: []string{testDir + name}, timeout: patience}
}

func script(name, file string, args ...string) program {
	return program{name: name, command: append([]string{"/bin/sh", scriptDir + file}, args...), script: true, brief: true, timeout: patience}
}

func (p program) only(filter string) program { p.filter = filter; return p }
func (p program) with(env ...string) program { p.env = env; return p }
func (p program) inBrief() program           { p.brief = true; return p }

// catalogue is every program, in the order in which they are run.
var catalogue = []program{
	gtest("binderDriverInterfaceTest").inBrief(),
	gtest("binderLibTest").inBrief(),
	gtest("binderSafeInterfaceTest").inBrief(),
	gtest("binderStabilityTest").inBrief(),
	gtest("binderClearBufTest").inBrief(),
	gtest("binderAllocationLimits").inBrief(),
	gtest("libbinder_ndk_unit_test"),
	gtest("binderRecordReplayTest"),
	gtest("binderUnitTest"),
	gtest("binderTextOutputTest"),
	gtest("servicemanager_test"),
	gtest("binderUtilsHostTest"),
	gtest("binderRpcWireProtocolTest"),
	gtest("RpcTlsUtilsTest"),
	// The service that its other tests talk to is another build of libbinder, without
	// kernel binder; and of what is left, the current version of the protocol in one
	// shard of two.
	gtest("binderRpcTest").only("PerSocket/*clientV1_serverV1_multi_threaded_with_kernel:BinderRpc.*:BinderRpcParcel.*").
		with("GTEST_TOTAL_SHARDS=2", "GTEST_SHARD_INDEX=0"),
	script("schd-dbg", "schd-dbg.sh"),
	script("binderThroughputTest", "throughput.sh"),
	script("servicemanager, service, dumpsys", "tools.sh"),
	script("libgbinder, binder", "gbinder.sh", "/dev/binder"),
	script("libgbinder, hwbinder", "gbinder.sh", "/dev/hwbinder"),
}
