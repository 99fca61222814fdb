#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the ninja file that builds AOSP 14's binder userspace on glibc, with clang and libstdc++.

    generate.py SOURCE SHIMS OUT > OUT/build.ninja

SOURCE is the unpacked tree, SHIMS our own headers and stand-ins, OUT where to build. Results are OUT/root/system/lib64
and OUT/root/system/bin, stripped. What is built, from which files and with which flags, is the table at the end; source
lists are those of each Android.bp's host variant. Nothing is patched but what EDITS names.
"""

import os
import sys

SOURCE, SHIMS, OUT = (os.path.abspath(a) for a in sys.argv[1:4])
LIB, BIN, TESTS = "root/system/lib64", "root/system/bin", "tests/data/nativetest"
BORINGSSL = "/usr/lib/x86_64-linux-gnu/android"

# One-line changes to AOSP's own files, as sed expressions. The changed copy is built, the tree stays as it is.
EDITS = {
    "frameworks/native/cmds/dumpsys/dumpsys.cpp": "s/std::max(diff/std::max<long long>(diff/",
    "frameworks/native/libs/binder/tests/binderRpcBenchmark.cpp": "s/#ifdef __BIONIC__/#if 1/",
}

# These three have what they do on a device behind __ANDROID__: IPCThreadState even the ioctl itself.
ANDROID_FILES = {
    "frameworks/native/libs/binder/IPCThreadState.cpp",
    "frameworks/native/cmds/service/service.cpp",
    "frameworks/native/cmds/servicemanager/Access.cpp",
}

FILE_FLAGS = {
    "system/libbase/posix_strerror_r.cpp": "-U_GNU_SOURCE",  # wants the POSIX strerror_r
}

INCLUDES = [
    "system/core/include",
    "system/core/libcutils/include",
    "system/core/libutils/include",
    "system/core/libsystem/include",
    "system/core/libprocessgroup/include",
    "system/core/libvndksupport/include",
    "system/libbase/include",
    "system/logging/liblog/include",
    "external/fmtlib/include",
    "libnativehelper/include_jni",
    "frameworks/native/libs/binder/include",
    "frameworks/native/libs/binder/ndk/include_cpp",
    "frameworks/native/libs/android_runtime_lazy/include",
]
NDK_INCLUDES = ["frameworks/native/libs/binder/ndk/include_ndk", "frameworks/native/libs/binder/ndk/include_platform"]

# Android initialises locals globally, and a test relies on it; assertions are off as in its release builds.
COMMON = ("-O2 -g1 -fPIC -pthread -w -DNDEBUG -UDEBUG -DPAGE_SIZE=4096 -ftrivial-auto-var-init=zero "
          f"-include {SHIMS}/include/prelude.h -I{SHIMS}/include ")
NO_IMPLICIT = "-DANDROID_BASE_UNIQUE_FD_DISABLE_IMPLICIT_CONVERSION -DANDROID_UTILS_REF_BASE_DISABLE_IMPLICIT_CONSTRUCTION"

lines = []


def emit(text):
    lines.append(text)


def build(output, rule, inputs, also=(), implicit=(), order=(), **variables):
    """One build statement: also are further outputs; implicit and order are inputs beyond the command's own."""
    text = f"build {output}"
    if also:
        text += " | " + " ".join(also)
    text += f": {rule} {' '.join(inputs)}"
    if implicit:
        text += " | " + " ".join(implicit)
    if order:
        text += " || " + " ".join(order)
    emit(text)
    for name, value in variables.items():
        emit(f"  {name} = {value}")


def rules():
    include = " ".join(f"-I{SOURCE}/{d}" for d in INCLUDES)
    emit(f"incs = {include}")
    emit(f"common = {COMMON}")
    for name, command, what in [
        ("cxx", "clang++ -std=gnu++17 $common $incs $flags -MD -MF $out.d -c $in -o $out", "CXX $out"),
        ("cc", "clang -std=gnu11 $common $incs $flags -MD -MF $out.d -c $in -o $out", "CC $out"),
        ("so", "clang++ -fuse-ld=lld -shared -pthread -Wl,-soname,$soname -Wl,--no-undefined -Wl,-rpath,'$$ORIGIN' -s "
               "$in $libs -o $out", "LIB $out"),
        ("ar", "rm -f $out && ar rcs $out $in", "AR $out"),
        ("exe", "clang++ -fuse-ld=lld -pthread -Wl,-rpath,/system/lib64 -s $in $libs -o $out", "EXE $out"),
        ("edit", "sed '$expression' $in > $out && ! cmp -s $in $out", "EDIT $out"),
        ("c-program", "clang -O2 -Wall -Werror $flags $in $libs -s -o $out", "EXE $out"),
        # aidl names its outputs after the package, so they are generated into one directory per interface.
        ("aidl", "aidl --lang=$lang --structured -I $search -h $dir/include -o $dir $in", "AIDL $in"),
    ]:
        emit(f"rule {name}")
        emit(f"  command = {command}")
        emit(f"  description = {what}")
        if name in ("cxx", "cc"):
            emit("  depfile = $out.d\n  deps = gcc")


def aidl(lang, base, files, directory, imports=()):
    """Turns AIDL files into C++; returns the sources, the headers and the directory of the headers."""
    search = " -I ".join(f"{SOURCE}/{d}" for d in [base, *imports])
    sources, headers = [], []
    for file in files:
        package, name = os.path.split(file.removesuffix(".aidl"))
        bare = name[1:] if name[0] == "I" and name[1].isupper() else name
        source = os.path.join(directory, package, f"{name}.cpp")
        include = os.path.join(directory, "include", "aidl" if lang == "ndk" else "", package)
        made = [f"{include}/{kind}.h" for kind in (name, f"Bp{bare}", f"Bn{bare}")]
        build(source, "aidl", [f"{SOURCE}/{base}/{file}"], also=made, lang=lang, search=search, dir=directory)
        sources.append(source)
        headers += made
    return sources, headers, os.path.join(OUT, directory, "include")


class Part:
    """A library or a program: its objects, and what others need to build against it."""

    every = {}

    def __init__(self, name, kind, sources, flags="", includes=(), uses=(), libs="", generated=(), output=None):
        self.name, self.kind, self.uses = name, kind, [Part.every[u] for u in uses]
        self.generated = list(generated)
        order = sorted({h for p in self.closure() for h in p.generated} | set(self.generated))
        flags = " ".join([flags] + [f"-I{d if d.startswith('/') else SOURCE + '/' + d}" for d in includes])
        objects = [self.compile(s, flags, order) for s in sources]
        linked = [p.output for p in self.closure() if p is not self and p.output]
        extra = " ".join(dict.fromkeys(w for p in self.closure() for w in (p.libs if p is not self else libs).split()))
        self.libs = libs
        if kind == "shared":
            self.output = f"{LIB}/{name}.so"
            build(self.output, "so", objects + [o for o in linked if o.endswith(".a")],
                  implicit=[o for o in linked if o.endswith(".so")], soname=f"{name}.so",
                  libs=" ".join([o for o in linked if o.endswith(".so")] + [extra]))
        elif kind == "static":
            self.output = f"lib/{name}.a"
            build(self.output, "ar", objects)
        else:
            self.output = output or f"{BIN}/{name}"
            build(self.output, "exe", objects + [o for o in linked if o.endswith(".a")],
                  implicit=[o for o in linked if o.endswith(".so")],
                  libs=" ".join([o for o in linked if o.endswith(".so")] + [extra]))
        Part.every[name] = self

    def closure(self):
        """This part and all that it uses, users before used, each once."""
        seen = {}

        def visit(part):
            for used in part.uses:
                visit(used)
            seen.setdefault(part, None)
        visit(self)
        return list(reversed(seen))

    def compile(self, source, flags, order):
        flags = " ".join(filter(None, [flags, FILE_FLAGS.get(source), "-D__ANDROID__" if source in ANDROID_FILES else ""]))
        if source in EDITS:
            # A copy lies elsewhere: includes of neighbours need the original's directory.
            flags += f" -I{SOURCE}/{os.path.dirname(source)}"
            edited = f"edited/{os.path.basename(source)}"
            build(edited, "edit", [f"{SOURCE}/{source}"], expression=EDITS[source])
            path = edited
        elif source.startswith("gen/"):
            path = source
        elif source.startswith("../"):
            path = f"{SHIMS}/{source}"
        else:
            path = f"{SOURCE}/{source}"
        obj = f"obj/{self.name}/{source.strip('/').replace('../', '')}.o"
        build(obj, "cc" if source.endswith(".c") else "cxx", [path], order=order, flags=flags)
        return obj


def under(directory, names):
    return [f"{directory}/{n}" for n in names.split()]


def libraries():
    Part("liblog", "shared", under("system/logging/liblog", """log_event_list.cpp log_event_write.cpp logger_name.cpp
        logger_read.cpp logger_write.cpp logprint.cpp properties.cpp event_tag_map.cpp"""),
         flags="-DLIBLOG_LOG_TAG=1006 -DSNET_EVENT_LOG_TAG=1397638484 -DANDROID_DEBUGGABLE=0")
    Part("libbase", "shared", under("system/libbase", """abi_compatibility.cpp chrono_utils.cpp cmsg.cpp file.cpp hex.cpp
        logging.cpp mapped_file.cpp parsebool.cpp parsenetaddress.cpp posix_strerror_r.cpp process.cpp properties.cpp
        stringprintf.cpp strings.cpp threads.cpp test_utils.cpp errors_unix.cpp""")
         + under("external/fmtlib/src", "format.cc os.cc"), uses=["liblog"])
    Part("libcutils", "shared", under("system/core/libcutils", """config_utils.cpp iosched_policy.cpp load_file.cpp
        native_handle.cpp properties.cpp record_stream.cpp strlcpy.c canned_fs_config.cpp fs_config.cpp fs.cpp hashmap.cpp
        multiuser.cpp str_parms.cpp ashmem-host.cpp trace-host.cpp sockets.cpp socket_inaddr_any_server_unix.cpp
        socket_local_client_unix.cpp socket_local_server_unix.cpp socket_network_client_unix.cpp sockets_unix.cpp"""),
         uses=["liblog", "libbase"])
    Part("libutils", "shared", under("system/core/libutils", """Errors.cpp FileMap.cpp JenkinsHash.cpp LightRefBase.cpp
        NativeHandle.cpp Printer.cpp RefBase.cpp SharedBuffer.cpp StopWatch.cpp String8.cpp String16.cpp StrongPointer.cpp
        SystemClock.cpp Threads.cpp Timers.cpp Tokenizer.cpp Unicode.cpp VectorImpl.cpp misc.cpp Looper.cpp"""),
         flags="-DANDROID_UTILS_REF_BASE_DISABLE_IMPLICIT_CONSTRUCTION", uses=["liblog", "libbase", "libcutils"])

    binder = "frameworks/native/libs/binder"
    sources, headers, include = aidl("cpp", f"{binder}/aidl", under("android/os",
        "ConnectionInfo.aidl IClientCallback.aidl IServiceCallback.aidl IServiceManager.aidl ServiceDebugInfo.aidl"), "gen/libbinder")
    emit(f"incs = $incs -I{include}")
    Part("libbinder", "shared", under(binder, """Binder.cpp BpBinder.cpp Debug.cpp FdTrigger.cpp IInterface.cpp
        IResultReceiver.cpp Parcel.cpp ParcelFileDescriptor.cpp RecordedTransaction.cpp RpcSession.cpp RpcServer.cpp RpcState.cpp
        Stability.cpp Status.cpp TextOutput.cpp Trace.cpp Utils.cpp OS.cpp RpcTransportRaw.cpp UtilsHost.cpp
        BufferedTextOutput.cpp IPCThreadState.cpp IServiceManager.cpp ProcessState.cpp Static.cpp IPermissionController.cpp
        PermissionCache.cpp PermissionController.cpp ServiceManagerHost.cpp IMemory.cpp IShellCallback.cpp
        LazyServiceRegistrar.cpp MemoryBase.cpp MemoryDealer.cpp MemoryHeapBase.cpp ParcelableHolder.cpp
        PersistableBundle.cpp""") + sources, generated=headers,
         flags=f"-DBINDER_WITH_KERNEL_IPC -DBINDER_RPC_DEV_SERVERS -DBINDER_ENABLE_RECORDING {NO_IMPLICIT}",
         uses=["liblog", "libbase", "libcutils", "libutils"])
    Part("libandroid_runtime_lazy", "static", ["frameworks/native/libs/android_runtime_lazy/android_runtime_lazy.cpp"],
         uses=["libbinder"])
    Part("libbinder_ndk", "shared", under(f"{binder}/ndk", """ibinder.cpp ibinder_jni.cpp libbinder.cpp parcel.cpp
        parcel_jni.cpp process.cpp stability.cpp status.cpp service_manager.cpp"""), includes=NDK_INCLUDES,
         uses=["libandroid_runtime_lazy", "libbinder"])
    Part("libbinderdebug", "shared", ["frameworks/native/libs/binderdebug/BinderDebug.cpp"],
         includes=["frameworks/native/libs/binderdebug/include"], uses=["libbinder"])
    Part("libserviceutils", "static", ["frameworks/native/services/utils/PriorityDumper.cpp"],
         includes=["frameworks/native/services/utils/include"], uses=["libutils"])


def programs():
    cmds = "frameworks/native/cmds"
    manager = under(f"{cmds}/servicemanager", "Access.cpp ServiceManager.cpp main.cpp")
    no_implicit = "-DANDROID_UTILS_REF_BASE_DISABLE_IMPLICIT_CONSTRUCTION"
    Part("servicemanager", "program", manager, flags=no_implicit, uses=["libbinder"])
    Part("vndservicemanager", "program", manager, flags=f"{no_implicit} -DVENDORSERVICEMANAGER=1", uses=["libbinder"])
    Part("service", "program", [f"{cmds}/service/service.cpp"], flags="-DXP_UNIX", uses=["libbinder"])
    Part("vndservice", "program", [f"{cmds}/service/service.cpp"], flags="-DXP_UNIX -DVENDORSERVICES", uses=["libbinder"])
    Part("dumpsys", "program", under(f"{cmds}/dumpsys", "dumpsys.cpp main.cpp"),
         includes=["frameworks/native/libs/binderdebug/include", "frameworks/native/services/utils/include"],
         uses=["libserviceutils", "libbinderdebug"])


def own_programs():
    """Programs of this project, on libbinder and on libgbinder."""
    Part("binder-client", "program", ["../programs/binder-client.cpp"], uses=["libbinder"], output="root/usr/bin/binder-client")
    flags = os.popen("pkg-config --cflags libgbinder glib-2.0").read().strip()
    libs = os.popen("pkg-config --libs libgbinder glib-2.0").read().strip()
    for name in "gbinder-service", "gbinder-client":
        emit(f"build root/usr/bin/{name}: c-program {SHIMS}/../programs/{name}.c\n  flags = {flags}\n  libs = {libs}")


BINDER = "frameworks/native/libs/binder"
BINDER_TESTS = f"{BINDER}/tests"


def test(name, sources, flags="", uses=(), libs="", **more):
    """One of AOSP's own tests; they are not part of the base image."""
    Part(name, "program", sources + ["../shims/tests/properties.cpp"], flags=flags, uses=list(uses) or ["libbinder"],
         libs=libs, output=f"{TESTS}/{name}", **more)


def gtest(name, sources, libs="", **more):
    test(name, sources, libs=f"{libs} -lgmock -lgtest -lgtest_main", **more)


def interfaces(directory, langs, base, files, **more):
    """aidl() in several languages: the sources, the headers, the directories of the headers."""
    made = [aidl(lang, base, files.split(), f"gen/{directory}-{lang}", **more) for lang in langs]
    return sum([m[0] for m in made], []), sum([m[1] for m in made], []), [m[2] for m in made]


def tests():
    tests = BINDER_TESTS
    gtest("binderDriverInterfaceTest", [f"{tests}/binderDriverInterfaceTest.cpp"])
    gtest("binderLibTest", [f"{tests}/binderLibTest.cpp"])
    gtest("binderUnitTest", under(tests, """binderParcelUnitTest.cpp binderBinderUnitTest.cpp binderStatusUnitTest.cpp
        binderMemoryHeapBaseUnitTest.cpp binderRecordedTransactionTest.cpp"""))
    gtest("binderTextOutputTest", [f"{tests}/binderTextOutputTest.cpp"])
    gtest("binderClearBufTest", [f"{tests}/binderClearBufTest.cpp"])
    gtest("binderSafeInterfaceTest", [f"{tests}/binderSafeInterfaceTest.cpp"], flags="-std=c++2a")
    gtest("binderUtilsHostTest", [f"{tests}/binderUtilsHostTest.cpp"])
    gtest("binderRpcWireProtocolTest", [f"{tests}/binderRpcWireProtocolTest.cpp"])
    test("binderThroughputTest", [f"{tests}/binderThroughputTest.cpp"], flags="-O3")
    test("schd-dbg", [f"{tests}/schd-dbg.cpp"])

    sources, headers, includes = interfaces("stability", ["cpp", "ndk"], tests, "IBinderStabilityTest.aidl")
    gtest("binderStabilityTest", [f"{tests}/binderStabilityTest.cpp"] + sources, generated=headers,
          includes=includes + NDK_INCLUDES, uses=["libbinder_ndk"])

    sources, headers, includes = interfaces("ndktest", ["cpp", "ndk"], f"{BINDER}/ndk/tests",
                                            "IBinderNdkUnitTest.aidl IEmpty.aidl")
    test("libbinder_ndk_unit_test", [f"{BINDER}/ndk/tests/libbinder_ndk_unit_test.cpp", f"{BINDER}/ndk/tests/iface.cpp",
                                     "../shims/tests/syslog.cpp"] + sources,
         generated=headers, includes=includes + NDK_INCLUDES + [f"{BINDER}/ndk/tests/include"],
         uses=["libbinder_ndk"], libs="-lgmock -lgtest")
    gtest("binderAllocationLimits", [f"{tests}/binderAllocationLimits.cpp", "../shims/tests/malloc-hooks.cpp"])

    fuzzer = f"{tests}/parcel_fuzzer"
    sources, headers, includes = interfaces("parcelables", ["cpp"], fuzzer, """parcelables/EmptyParcelable.aidl
        parcelables/SingleDataParcelable.aidl parcelables/GenericDataParcelable.aidl""")
    replay = interfaces("replay", ["cpp"], tests, "IBinderRecordReplayTest.aidl", imports=[fuzzer])
    gtest("binderRecordReplayTest", [f"{tests}/binderRecordReplayTest.cpp"] + sources + replay[0] + under(fuzzer,
          "random_binder.cpp random_fd.cpp random_parcel.cpp random_parcel_seeds.cpp libbinder_driver.cpp"),
          generated=headers + replay[1], includes=includes + replay[2] + [f"{fuzzer}/include_random_parcel",
          f"{fuzzer}/include_random_parcel_seeds"])

    gtest("servicemanager_test", under("frameworks/native/cmds/servicemanager", "Access.cpp ServiceManager.cpp test_sm.cpp"),
          flags="-DANDROID_UTILS_REF_BASE_DISABLE_IMPLICIT_CONSTRUCTION")


def rpc_tests():
    """RPC binder: binder over sockets, which hands kernel binders out beside its own. TLS is Android's BoringSSL."""
    tests = BINDER_TESTS
    boringssl = f"-L{BORINGSSL} -lssl -lcrypto -Wl,-rpath,{BORINGSSL}"
    tls = [f"{BINDER}/include_tls", f"{tests}/include_tls_test_utils", "/usr/include/android"]
    Part("libbinder_tls", "static", under(BINDER, "RpcTransportTls.cpp RpcTlsUtils.cpp") + [f"{tests}/RpcTlsTestUtils.cpp"],
         includes=tls, uses=["libbinder"])
    gtest("RpcTlsUtilsTest", [f"{tests}/RpcTlsUtilsTest.cpp"], includes=tls, uses=["libbinder_tls"], libs=boringssl)

    sources, headers, includes = interfaces("rpcbenchmark", ["cpp"], tests, "IBinderRpcBenchmark.aidl")
    test("binderRpcBenchmark", [f"{tests}/binderRpcBenchmark.cpp"] + sources, generated=headers, includes=includes + tls,
         uses=["libbinder_tls"], libs=f"{boringssl} -lbenchmark")

    sources, headers, includes = interfaces("rpctest", ["cpp", "ndk"], tests, """BinderRpcTestClientInfo.aidl
        BinderRpcTestServerConfig.aidl BinderRpcTestServerInfo.aidl IBinderRpcCallback.aidl IBinderRpcSession.aidl
        IBinderRpcTest.aidl ParcelableCertificateData.aidl""")
    common = dict(flags="-DBINDER_WITH_KERNEL_IPC", generated=headers, includes=includes + tls + NDK_INCLUDES,
                  uses=["libbinder_ndk", "libbinder_tls"])
    Part("libbinder_rpc_test", "static", [f"{tests}/binderRpcTestCommon.cpp"] + sources, **common)
    common["uses"].append("libbinder_rpc_test")
    gtest("binderRpcTest", under(tests, "binderRpcTest.cpp binderRpcUniversalTests.cpp"), libs=boringssl, **common)
    # The one of its services that uses kernel binder too; those without are other builds of libbinder.
    gtest("binder_rpc_test_service", [f"{tests}/binderRpcTestService.cpp"], libs=boringssl, **common)


def main():
    rules()
    libraries()
    programs()
    own_programs()
    tests()
    rpc_tests()
    print("ninja_required_version = 1.10\nbuilddir = .")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
