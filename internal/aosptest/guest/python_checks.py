# SPDX-License-Identifier: Apache-2.0
"""python_checks.py DEVICE CHECK: one check of python3-gbinder on gbinder-service's demo.echo."""
import os
import sys

sys.path.append("/usr/lib/python3/dist-packages")
import gbinder

NAME, INTERFACE = "demo.echo", "virtbinder.IDemo"


def call(manager, code, *strings):
    service, status = manager.get_service_sync(NAME)
    assert service is not None, f"no service {NAME}: {status}"
    client = gbinder.Client(service, INTERFACE)
    request = client.new_request()
    for text in strings:
        request.append_hidl_string(text)
    reply, status = client.transact_sync_reply(code, request)
    assert status == 0, f"status {status}"
    reader = reply.init_reader()
    ok, exception = reader.read_int32()
    assert ok and exception == 0, f"exception {exception}"
    return reply, reader


def check_list(manager):
    names = manager.list_sync()
    assert NAME in [n.decode() if isinstance(n, bytes) else n for n in names], names


def check_call(manager):
    reply, reader = call(manager, 1)
    text = reader.read_string16()
    assert text == f"hello from {NAME}", text


def check_hidl(manager):
    reply, reader = call(manager, 4, "a string behind a patched pointer")
    text = reader.read_hidl_string()
    assert text == "a string behind a patched pointer", text


def check_sender(manager):
    reply, reader = call(manager, 3)
    pid, uid = reader.read_int32(), reader.read_int32()
    assert (pid, uid) == ((True, os.getpid()), (True, os.geteuid())), (pid, uid)


device, name = sys.argv[1:]
manager = gbinder.ServiceManager(device)
assert manager.wait(10000), f"no servicemanager on {device}"
globals()[f"check_{name}"](manager)
