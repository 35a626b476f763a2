"""The process that `fakes.warm` starts: imports what scripts of ours import, and forks for each.

gRPC reads its environment when it is imported. So there is a further process, a branch, forked from
this one for each environment that scripts give it; what they import is refused in another one.

It has one thread, so that what it forks inherits no lock that is held. The script runs where this
module ends, and its process ends as every interpreter does: it waits for threads, calls what is
registered, collects garbage and flushes. It does not take apart the modules, which the fork would
copy first: three quarters of what the end of a process costs.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import importlib
import importlib.abc
import importlib.machinery
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

LIBRARIES = (
    *("asyncio", "csv", "email.message", "http.client", "importlib.metadata", "ssl", "tomllib"),
    *("concurrent.futures.thread", "logging.handlers", "urllib.request", "zoneinfo"),
    *("cryptography.x509", "cryptography.hazmat.primitives.asymmetric.ec"),
    *("google.protobuf.duration_pb2", "google.protobuf.timestamp_pb2"),
    *("ifaddr", "prometheus_client", "pydantic.types", "pyotp", "segno", "serial.rfc2217"),
    *("tomlkit", "zeroconf.asyncio"),
)
# What many scripts never import.
VIDEO = ("numpy", "cv2", "av")
GRPC = ("grpc", "grpc_health", "grpc_reflection")
GRPC_MODULES = (
    *("grpc.aio", "grpc_health.v1.health_pb2_grpc"),
    *("grpc_reflection.v1alpha.reflection",),
)
LEFT_OUT = "uvloop"  # starts threads
CLIENT, SERVING, TRACING = "client", "serving", "tracing"  # kinds of scripts
# linux/prctl.h, linux/sched.h, sys/mount.h
PR_SET_PDEATHSIG = 1
CLONE_NEWNET, CLONE_NEWNS = 0x40000000, 0x00020000
MS_REC, MS_SLAVE, MNT_DETACH = 1 << 14, 1 << 19, 2
STDOUT_LOST = 120  # the exit code of CPython where stdout cannot be flushed


class Refusal(importlib.abc.MetaPathFinder):
    """Refuses packages while the block lasts."""

    def __init__(self, *packages: str) -> None:
        self._packages = packages

    def __enter__(self) -> None:
        sys.meta_path.insert(0, self)

    def __exit__(self, *exception: object) -> None:
        sys.meta_path.remove(self)

    def find_spec(self, fullname: str, path: object, target: object = None) -> None:
        if fullname.partition(".")[0] in self._packages:
            raise ModuleNotFoundError(fullname, name=fullname)


class Ready(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Modules that have run, and are given to whoever imports them first."""

    def __init__(self, modules: dict[str, ModuleType], grpc: dict[str, str] | None) -> None:
        self.modules, self._grpc = modules, grpc
        self._specs = {name: module.__spec__ for name, module in modules.items()}

    def find_spec(
        self, fullname: str, path: object, target: object = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in self.modules:
            return None
        spec = self._specs[fullname]
        return importlib.machinery.ModuleSpec(fullname, self, origin=spec.origin if spec else None)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        if self._grpc is not None and self._grpc != grpc_environment():
            raise RuntimeError(f"not what warm.py expected: {grpc_environment()}")
        sys.modules.update(self.modules)
        return self.modules[spec.name]

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._specs[module.__name__]


def import_ours() -> None:
    """Import every module of ours that can be imported now."""
    ours = importlib.import_module("usbshare").__path__
    for found in pkgutil.walk_packages(ours, "usbshare.", onerror=lambda _: None):
        if not found.name.endswith("__main__"):
            with suppress(ImportError):  # it needs what is refused, or another platform
                importlib.import_module(found.name)


def import_late(names: Sequence[str], grpc: dict[str, str] | None) -> None:
    """Import modules, and ours that need them, but let scripts find that they are not imported."""
    known = set(sys.modules)
    for name in names:
        with suppress(ImportError):  # an extra that is not installed
            importlib.import_module(name)
    import_ours()
    late = {name: sys.modules.pop(name) for name in list(sys.modules) if name not in known}
    for name in late:
        parent, _, own = name.rpartition(".")
        if parent in known:
            vars(sys.modules[parent]).pop(own, None)
    for finder in sys.meta_path:
        if isinstance(finder, Ready):
            late = {name: late[name] for name in late.keys() - finder.modules.keys()}
    sys.meta_path.insert(0, Ready(late, grpc))
    gc.collect()
    gc.freeze()
    threads = len(os.listdir("/proc/self/task"))
    assert threads == 1, f"{threads} threads, of which a fork has one"


def import_what_is_common() -> None:
    """Import libraries, and every module of ours that does without gRPC."""
    for name in LIBRARIES:
        importlib.import_module(name)
    with Refusal(*GRPC, *VIDEO, LEFT_OUT):
        import_ours()
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    with Refusal(*GRPC, LEFT_OUT):
        import_late(VIDEO, None)
    del os.environ["OPENBLAS_NUM_THREADS"]


def grpc_environment() -> dict[str, str]:
    """Return what gRPC reads when it is imported."""
    return {name: value for name, value in os.environ.items() if name.startswith("GRPC_")}


def import_grpc(kind: str, environment: dict[str, str]) -> None:
    """Import gRPC and what needs it as a script of that kind does."""
    for name in grpc_environment():
        del os.environ[name]
    os.environ.update(environment)
    prepare = importlib.import_module("usbshare.rpc.grpc_environment")
    if kind == CLIENT:
        prepare.prepare_grpc()
    else:
        prepare.prepare_grpc_to_serve()
    if kind == TRACING:
        prepare.trace_handshakes()
    with Refusal(LEFT_OUT):
        import_late(GRPC_MODULES, grpc_environment())


class Children:
    """Those that were forked and have not ended."""

    def __init__(self) -> None:
        self._running: dict[int, tuple[int, socket.socket]] = {}

    @property
    def ends(self) -> list[int]:
        """Descriptors, each readable once its process has ended."""
        return list(self._running)

    def add(self, pid: int, news: socket.socket) -> None:
        self._running[os.pidfd_open(pid)] = (pid, news)
        news.send(str(pid).encode())

    def tell_end(self, end: int) -> None:
        """Send its exit code to the requester."""
        pid, news = self._running.pop(end)
        os.close(end)
        _, status = os.waitpid(pid, 0)
        with news, suppress(OSError):  # the requester no longer waits
            news.send(str(os.waitstatus_to_exitcode(status)).encode())

    def forget(self) -> None:
        """Close what belongs to the parent."""
        for end, (_, news) in self._running.items():
            os.close(end)
            news.close()


def serve(requests: socket.socket) -> list[str]:
    """Fork for each request until an empty one or the last; returns in what was forked alone."""
    children = Children()
    branches: dict[str, socket.socket] = {}
    while True:
        ready = set(select.select([requests.fileno(), *children.ends], [], [])[0])
        for end in ready & set(children.ends):
            children.tell_end(end)
        if requests.fileno() not in ready:
            continue
        message, descriptors, _, _ = socket.recv_fds(requests, 1 << 20, 4)
        if not message:
            os._exit(0)
        request = json.loads(message)
        if (branch := request.pop("branch", None)) is None:
            if not (pid := os.fork()):
                children.forget()
                forget(requests, *branches.values())
                return become(request, descriptors)
            children.add(pid, socket.socket(fileno=descriptors.pop(0)))
        else:
            key = json.dumps(branch, sort_keys=True)
            if key not in branches:
                ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                if not os.fork():
                    children.forget()
                    forget(requests, ours, *branches.values(), *descriptors)
                    import_grpc(**branch)
                    return serve(theirs)
                theirs.close()
                branches[key] = ours
            socket.send_fds(branches[key], [json.dumps(request).encode()], descriptors)
        forget(*descriptors)


def forget(*ours: socket.socket | int) -> None:
    """Close what belongs to another process from now on."""
    for each in ours:
        if isinstance(each, int):
            os.close(each)
        else:
            each.close()


def become(request: dict[str, Any], descriptors: list[int]) -> list[str]:
    """Take over what the new process is to find; returns its words."""
    news, network, *streams = descriptors
    forget(news)
    for number, stream in enumerate(streams, 1):
        os.dup2(stream, number)
        os.close(stream)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    join(network)
    if request["namespace"]:
        enter(request["namespace"])
    for module, function, *arguments in request["first"]:
        getattr(importlib.import_module(module), function)(*arguments)
    words: list[str] = request["words"]
    return words


def called(name: str, *arguments: object) -> None:
    """Call a function of libc that returns 0 unless it fails."""
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments):
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")


def join(network: int) -> None:
    """Be in the network namespace of that descriptor."""
    if os.readlink(f"/proc/self/fd/{network}") != os.readlink("/proc/self/ns/net"):
        called("setns", network, CLONE_NEWNET)
    os.close(network)


def enter(namespace: str) -> None:
    """Be in that network namespace as `ip netns exec` is (iproute2, lib/namespace.c)."""
    join(os.open(f"/run/netns/{namespace}", os.O_RDONLY))
    called("unshare", CLONE_NEWNS)
    called("mount", b"", b"/", b"none", MS_SLAVE | MS_REC, None)
    called("umount2", b"/sys", MNT_DETACH)
    called("mount", namespace.encode(), b"/sys", b"sysfs", 0, None)


def main() -> None:
    """Import, serve, and leave in `sys.argv` what a forked process is to run."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: the tests end it
    sys.path[0] = str(Path(sys.executable).parent)  # as for a script that is installed there
    sys.path.append(str(Path(__file__).parents[1]))
    called("prctl", PR_SET_PDEATHSIG, signal.SIGKILL)
    requests = socket.socket(fileno=int(sys.argv[1]))
    requests.set_inheritable(False)
    if not requests.recv(1, socket.MSG_PEEK):
        sys.exit()  # the tests needed no process
    import_what_is_common()
    sys.argv[:] = serve(requests)


def leave(code: int) -> NoReturn:
    """End as `Py_FinalizeEx` begins to."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    gc.collect()
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None and not stream.closed:
                stream.flush()
        except OSError:
            code = code if stream is sys.stderr else STDOUT_LOST
    os._exit(code & 0xFF)


if __name__ == "__main__":
    main()
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as end:
        if isinstance(end.code, int | None):
            leave(end.code or 0)
        raise
