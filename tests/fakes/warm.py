"""Our console scripts as processes that do not import everything again.

What a script imports is three quarters of the CPU time that it uses, and the tests start thousands.
A `nursery`, one for each test process, has imported what does not depend on gRPC, and forks for
each process that is asked for. gRPC and what needs it are imported in each process as ever, since
a script decides first what gRPC finds in its environment.

A process starts cold, as on a user's computer, in tests marked `alone`, `slow` or `cold`, with
`pytest --cold`, elsewhere than here (a network namespace), and where its environment changes what
only a new interpreter or a new library reads.
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
from pathlib import Path
from typing import IO

SCRIPTS = Path(sys.executable).parent
NURSERY = Path(__file__).with_name("warm_nursery.py")
NAMES = ("bridge", "usbshare-bridge", "serial-svc", "camera-svc", "discovery-svc", "job-svc")
# Read by interpreters and libraries when they start: the nursery's own stay in force.
READ_EARLY = ("PYTHON", "LD_PRELOAD", "LC_", "LANG", "MALLOC", "OPENSSL", "SSL_")
START_S = 120.0


def reads_early(environment: dict[str, str]) -> dict[str, str]:
    """Return the variables that a process finds too late, once it runs."""
    return {name: each for name, each in environment.items() if name.startswith(READ_EARLY)}


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
            told = json.loads(self._news.recv(4096))
            self._news.close()
            self.returncode = told["code"]
            Nursery.used_s += told["cpu_s"]
        return self.returncode


class Nursery:
    """The process that has imported our modules; started at first use, ends with this one."""

    used_s = 0.0  # what the processes that have ended used of the CPU
    is_used = True
    _running: Nursery | None = None

    def __init__(self) -> None:
        self.read_early = reads_early({**os.environ, "PYTHONUNBUFFERED": "1"})
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
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

    def start(self, words: Sequence[str], environment: dict[str, str], errors: int) -> WarmProcess:
        """Start a script of ours; `errors` as the `stderr` of `subprocess.Popen`."""
        news, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        reading, writing = os.pipe()
        request = {"words": words, "environment": environment, "folder": os.getcwd()}
        try:
            message = [json.dumps(request).encode()]
            socket.send_fds(
                self._requests,
                message,
                [theirs.fileno(), writing, writing if errors == subprocess.STDOUT else errors],
            )
        finally:
            theirs.close()
            os.close(writing)
        news.settimeout(START_S)
        pid = int(news.recv(64))
        news.settimeout(None)
        return WarmProcess(pid, news, open(reading, encoding="utf-8"))

    def _end(self) -> None:
        self._requests.close()
        self._process.wait()


def can_be_warm(words: Sequence[str], environment: dict[str, str]) -> bool:
    """Return whether the nursery makes the same process as a new interpreter does."""
    path = Path(words[0])
    is_ours = path.parent == SCRIPTS and path.name in NAMES
    return (
        Nursery.is_used
        and is_ours
        and hasattr(os, "pidfd_open")
        and reads_early(environment) == Nursery.running().read_early
    )


def start(
    words: Sequence[str], environment: dict[str, str], errors: int = subprocess.STDOUT
) -> WarmProcess | subprocess.Popen[str]:
    """Start a script of ours, warm where that makes no difference."""
    if can_be_warm(words, environment):
        return Nursery.running().start(words, environment, errors)
    return subprocess.Popen(
        words,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
    )
