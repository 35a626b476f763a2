"""Our console scripts as processes that do not import everything again.

What a script imports, and taking it apart at the end, is three quarters of the CPU time that it
uses, and the tests start thousands. A `nursery`, one for each test process, has imported all of it,
and forks for each process that is asked for.

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
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

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


class Nursery:
    """The process that has imported our modules; started at first use, ends with this one."""

    is_used = True
    _running: Nursery | None = None

    def __init__(self) -> None:
        self.read_early = reads_early({**os.environ, "PYTHONUNBUFFERED": "1"})
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._branches: dict[str, socket.socket] = {}
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, str(NURSERY), str(theirs.fileno())],
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        atexit.register(self._end)

    @property
    def pid(self) -> int:
        """The number of its process."""
        return self._process.pid

    @classmethod
    def running(cls) -> Nursery:
        """Return the nursery of this process."""
        if cls._running is None:
            cls._running = cls()
        return cls._running

    def start(
        self, words: Sequence[str], environment: dict[str, str], errors: int, first: Sequence[Call]
    ) -> WarmProcess:
        """Start a script of ours; `errors` as the `stderr` of `subprocess.Popen`."""
        namespace, words = apart(words)
        news, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        reading, writing = os.pipe()
        request = {
            "words": words,
            "environment": environment,
            "folder": os.getcwd(),
            "namespace": namespace,
            "first": first,
        }
        to = self._branch(kind_of(words, environment), environment)
        streams = [writing, writing if errors == subprocess.STDOUT else errors]
        try:
            _send(to, request, theirs.fileno(), *streams)
        finally:
            theirs.close()
            os.close(writing)
        return WarmProcess(_told_pid(news), news, open(reading, encoding="utf-8"))

    def _branch(self, kind: str, environment: dict[str, str]) -> socket.socket:
        """Return where to ask for a process whose gRPC is imported as that kind of script does."""
        if not kind:
            return self._requests
        grpc = {name: value for name, value in environment.items() if name.startswith("GRPC_")}
        request = {"kind": kind, "environment": grpc}
        key = json.dumps(request, sort_keys=True)
        if key not in self._branches:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                _send(self._requests, request, theirs.fileno())
            _told_pid(ours)
            self._branches[key] = ours
        return self._branches[key]

    def _end(self) -> None:
        for each in (*self._branches.values(), self._requests):
            each.close()
        self._process.wait()


def _send(to: socket.socket, request: dict[str, Any], *descriptors: int) -> None:
    socket.send_fds(to, [json.dumps(request).encode()], descriptors)


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
