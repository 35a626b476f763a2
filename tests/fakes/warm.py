"""Our console scripts as processes that do not import everything again.

What a script imports, and taking it apart at the end, is three quarters of the CPU time that it
uses, and the tests start thousands. A `nursery`, which all workers of a run share, has imported all
of it, and forks for each process that is asked for.

A process starts cold, as on a user's computer, in tests marked `slow`, `cold` or `quiet`, with
`pytest --cold`, and where its environment changes what only a new interpreter or a new library
reads.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, ClassVar

from fakes.warm_nursery import CLIENT, SERVING, TRACING
from usbshare.bridge.stop.arguments import is_stop

SCRIPTS = Path(sys.executable).parent
NURSERY = Path(__file__).with_name("warm_nursery.py")
BRIDGES = ("bridge", "usbshare-bridge")
SERVICES = ("serial-svc", "camera-svc", "discovery-svc", "job-svc", "usb-svc")
NAMES = BRIDGES + SERVICES
# Read by interpreters and libraries when they start: the nursery's own stay in force.
READ_EARLY = ("PYTHON", "LD_PRELOAD", "LC_", "LANG", "MALLOC", "OPENSSL", "SSL_")
START_S = 600.0  # a virtual machine without KVM takes minutes
# A module, a function of it, and what it is given.
Call = tuple[str, ...]


def reads_early(environment: dict[str, str]) -> dict[str, str]:
    """Return the variables that a process finds too late, once it runs."""
    return {name: each for name, each in environment.items() if name.startswith(READ_EARLY)}


def apart(words: Sequence[str]) -> tuple[str, Sequence[str]]:
    """Return the network namespace that `ip` runs a command in, empty for here, and the command."""
    is_elsewhere = Path(words[0]).name == "ip" and list(words[1:3]) == ["netns", "exec"]
    return (words[3], words[4:]) if is_elsewhere else ("", words)


def kind_of(words: Sequence[str], environment: dict[str, str]) -> str:
    """Return the kind of environment that a script of ours gives gRPC; empty if it is not known."""
    if Path(words[0]).name in BRIDGES:
        return "" if is_stop(list(words[1:])) else CLIENT  # a stop may begin anew
    values = ("--config", "--listen", "--metrics", "--log-level", "--log-format")
    options = [word for before, word in pairwise(words) if before not in values]
    is_serving = all(word.startswith("-") for word in options)
    is_plaintext = "--insecure" in options or environment.get("USBSHARE_INSECURE")
    return TRACING if is_serving and not is_plaintext else SERVING


class WarmProcess:
    """A process that the nursery forked; acts as the `subprocess.Popen` does."""

    def __init__(self, pid: int, news: socket.socket, stdout: IO[str]) -> None:
        self.pid = pid
        self.stdout = stdout
        self.returncode: int | None = None
        self._news = news

    def poll(self) -> int | None:
        """Return its exit code, none while it runs."""
        return self._ask(0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end and return its exit code."""
        code = self._ask(timeout)
        if code is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired([str(self.pid)], timeout)
        return code

    def send_signal(self, number: int) -> None:
        """Signal it, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _ask(self, timeout_s: float | None) -> int | None:
        if self.returncode is None and select.select([self._news], [], [], timeout_s)[0]:
            self.returncode = int(self._news.recv(64))
            self._news.close()
        return self.returncode


@dataclass(frozen=True)
class Nursery:
    """The process that has imported our modules, once a first one is asked for."""

    is_used: ClassVar = True
    _running: ClassVar[Nursery | None] = None

    address: str
    pid: int
    read_early: dict[str, str]

    @classmethod
    def running(cls) -> Nursery:
        """Return the nursery of this process; starts one, which ends with it, if it has none."""
        if cls._running is None:
            cls._running = _started()
        return cls._running

    @classmethod
    def share(cls, nursery: Nursery) -> None:
        """Use that of another process."""
        cls._running = nursery

    def start(
        self, words: Sequence[str], environment: dict[str, str], errors: int, first: Sequence[Call]
    ) -> WarmProcess:
        """Start a script of ours; `errors` as the `stderr` of `subprocess.Popen`."""
        namespace, words = apart(words)
        kind = kind_of(words, environment)
        grpc = {name: value for name, value in environment.items() if name.startswith("GRPC_")}
        request = {
            "words": words,
            "environment": environment,
            "folder": os.getcwd(),
            "namespace": namespace,
            "first": first,
            "branch": {"kind": kind, "environment": grpc} if kind else None,
        }
        news, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        reading, writing = os.pipe()
        network = os.open("/proc/self/ns/net", os.O_RDONLY)
        streams = [writing, writing if errors == subprocess.STDOUT else errors]
        try:
            _send(self.address, json.dumps(request).encode(), theirs.fileno(), network, *streams)
        finally:
            theirs.close()
            for each in (network, writing):
                os.close(each)
        return WarmProcess(_told_pid(news), news, open(reading, encoding="utf-8"))


def _started() -> Nursery:
    """Start a nursery, which ends with this process."""
    read_early = reads_early({**os.environ, "PYTHONUNBUFFERED": "1"})
    folder = TemporaryDirectory(prefix="nursery-")
    address = f"{folder.name}/requests"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as requests:
        requests.bind(address)
        process = subprocess.Popen(
            [sys.executable, str(NURSERY), str(requests.fileno())],
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[requests.fileno()],
        )

    def end() -> None:
        with suppress(ConnectionError):  # it has ended
            _send(address, b"")
        process.wait()
        folder.cleanup()

    atexit.register(end)
    return Nursery(address, process.pid, read_early)


def _send(address: str, request: bytes, *descriptors: int) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.connect(address)
        socket.send_fds(sender, [request], descriptors)


def _told_pid(news: socket.socket) -> int:
    """Return the number of the process that was asked for."""
    news.settimeout(START_S)
    pid = int(news.recv(64))
    news.settimeout(None)
    return pid


def can_be_warm(words: Sequence[str], environment: dict[str, str]) -> bool:
    """Return whether the nursery makes the same process as a new interpreter does."""
    path = Path(apart(words)[1][0])
    is_ours = path.parent == SCRIPTS and path.name in NAMES
    return (
        Nursery.is_used
        and is_ours
        and hasattr(os, "pidfd_open")
        and reads_early(environment) == Nursery.running().read_early
    )


def start(
    words: Sequence[str],
    environment: dict[str, str],
    errors: int = subprocess.STDOUT,
    first: Sequence[Call] = (),
) -> WarmProcess | subprocess.Popen[str]:
    """Start a script of ours, warm where that makes no difference, after those calls in it."""
    if can_be_warm(words, environment):
        return Nursery.running().start(words, environment, errors, first)
    if first:
        calls = "".join(
            f"from {module} import {name}; {name}(*{args!r})\n" for module, name, *args in first
        )
        run = "import runpy, sys; del sys.argv[0]; runpy.run_path(sys.argv[0], run_name='__main__')"
        words = [sys.executable, "-c", calls + run, *words]
        environment = {**environment, "PYTHONPATH": str(Path(__file__).parents[1])}
    return subprocess.Popen(
        words,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
    )
