"""The process that `fakes.warm` starts: imports what scripts of ours import, and forks for each.

It has one thread, so that what it forks inherits no lock that is held. The script runs where this
module ends, so that its process ends as every interpreter does.
"""

from __future__ import annotations

import gc
import importlib
import importlib.abc
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

LIBRARIES = (
    *("asyncio", "csv", "email.message", "http.client", "importlib.metadata", "ssl", "tomllib"),
    *("concurrent.futures.thread", "logging.handlers", "urllib.request", "zoneinfo"),
    *("cryptography.x509", "cryptography.hazmat.primitives.asymmetric.ec"),
    *("google.protobuf.duration_pb2", "google.protobuf.timestamp_pb2"),
    *("ifaddr", "prometheus_client", "pydantic.types", "pyotp", "segno", "serial.rfc2217"),
    *("tomlkit", "zeroconf.asyncio"),
)
# What reads its environment when it is imported, or starts threads then.
LEFT_OUT = ("grpc", "grpc_health", "grpc_reflection", "numpy", "cv2", "av", "uvloop")


class Refusal(importlib.abc.MetaPathFinder):
    """Refuses what each process has to import itself."""

    def find_spec(self, fullname: str, path: object, target: object = None) -> None:
        if fullname.partition(".")[0] in LEFT_OUT:
            raise ModuleNotFoundError(fullname, name=fullname)


def import_what_is_common() -> None:
    """Import libraries, and every module of ours that does without gRPC."""
    for name in LIBRARIES:
        importlib.import_module(name)
    refusal = Refusal()
    sys.meta_path.insert(0, refusal)
    ours = importlib.import_module("usbshare").__path__
    for found in pkgutil.walk_packages(ours, "usbshare.", onerror=lambda _: None):
        if not found.name.endswith("__main__"):
            with suppress(ImportError):  # it needs what is left out, or another platform
                importlib.import_module(found.name)
    sys.meta_path.remove(refusal)
    gc.collect()
    gc.freeze()


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
        """Send its exit code and what it used to the requester."""
        pid, news = self._running.pop(end)
        os.close(end)
        _, status, usage = os.wait4(pid, 0)
        used_s = usage.ru_utime + usage.ru_stime
        with news, suppress(OSError):  # the requester no longer waits
            news.send(
                json.dumps({"code": os.waitstatus_to_exitcode(status), "cpu_s": used_s}).encode()
            )

    def forget(self) -> None:
        """Close what belongs to the parent."""
        for end, (_, news) in self._running.items():
            os.close(end)
            news.close()


def serve(requests: socket.socket) -> list[str]:
    """Fork for each request until there are no more clients; returns in what was forked alone."""
    children = Children()
    while True:
        ready = set(select.select([requests.fileno(), *children.ends], [], [])[0])
        for end in ready & set(children.ends):
            children.tell_end(end)
        if requests.fileno() not in ready:
            continue
        message, descriptors, _, _ = socket.recv_fds(requests, 1 << 20, 3)
        if not message:
            os._exit(0)
        news, streams = socket.socket(fileno=descriptors[0]), descriptors[1:]
        if not (pid := os.fork()):
            children.forget()
            news.close()
            requests.close()
            return become(json.loads(message), streams)
        for each in streams:
            os.close(each)
        children.add(pid, news)


def become(request: dict[str, Any], streams: list[int]) -> list[str]:
    """Take over what the new process is to find; returns its words."""
    for number, stream in enumerate(streams, 1):
        os.dup2(stream, number)
        os.close(stream)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    words: list[str] = request["words"]
    return words


def main() -> None:
    """Import, serve, and leave in `sys.argv` what a forked process is to run."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: the tests end it
    sys.path[0] = str(Path(sys.executable).parent)  # as for a script that is installed there
    requests = socket.socket(fileno=int(sys.argv[1]))
    requests.set_inheritable(False)
    import_what_is_common()
    sys.argv[:] = serve(requests)


if __name__ == "__main__":
    main()
    runpy.run_path(sys.argv[0], run_name="__main__")
