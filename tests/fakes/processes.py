"""Our console scripts as real processes, waited for by what they say."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from random import randrange
from tempfile import TemporaryFile
from typing import Any

from fakes import warm

SCRIPTS = warm.SCRIPTS
DEADLINE_S = 60.0
# An answer that must come may be late on a busy machine; by default a second of silence ends it.
SEND = ("send", "--quiet", "30")
# What commands add where a machine or an answer is slow.
_WAITING = re.compile(
    r"^bridge: (.*: )?(looking for|waiting for|.* not confirmed yet) .*(\n|$)", re.MULTILINE
)
# What Linux gives to those who ask for any begins at 32768.
_BELOW_EPHEMERAL = (20_000 + n % 12_000 for n in count(randrange(12_000)))
# Makes a command run elsewhere, as in a network namespace.
Place = Callable[[Sequence[str]], list[str]]


class Process:
    """A running script; what it prints is collected line by line."""

    def __init__(
        self,
        arguments: Sequence[str],
        environment: dict[str, str],
        place: Place = list,
        first: Sequence[warm.Call] = (),
    ) -> None:
        self.process = warm.start(
            place([str(SCRIPTS / arguments[0]), *arguments[1:]]),
            {**os.environ, "PYTHONUNBUFFERED": "1", **environment},
            first=first,
        )
        self.lines: list[str] = []
        self._news = threading.Condition()
        self._ended = False
        self._collector = threading.Thread(target=self._collect, daemon=True)
        self._collector.start()

    @property
    def output(self) -> str:
        """All that it has printed so far."""
        with self._news:
            return "\n".join(self.lines)

    def wait_for(self, pattern: str, deadline_s: float = DEADLINE_S) -> re.Match[str]:
        """Return the first line that matches; fails with the output when it ends or takes long."""
        with self._news:
            self._news.wait_for(lambda: self._ended or self._find(pattern), deadline_s)
            if (match := self._find(pattern)) is None:
                raise AssertionError(f"no line matches {pattern!r} in:\n" + "\n".join(self.lines))
            return match

    def _find(self, pattern: str) -> re.Match[str] | None:
        matches = (re.search(pattern, line) for line in self.lines)
        return next((match for match in matches if match), None)

    def wait(self, deadline_s: float = DEADLINE_S) -> int:
        """Return the exit code."""
        code = self.process.wait(deadline_s)
        self._collector.join(deadline_s)
        return code

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask it to end and return the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.wait()
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        finally:
            if self.process.stdout is not None and not self._collector.is_alive():
                self.process.stdout.close()

    def _collect(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._news:
                self.lines.append(line.rstrip("\n"))
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()


def events(bridge: Process, name: str) -> list[dict[str, Any]]:
    """Return what a bridge with `--json` has reported under that name."""
    told = [json.loads(line) for line in list(bridge.lines) if f'"event": "{name}"' in line]
    return [event for event in told if event["event"] == name]


@contextmanager
def running(arguments: Sequence[str], home: Path, place: Place = list) -> Iterator[Process]:
    """Run a script with its own configuration and runtime folders under `home`."""
    process = Process(arguments, environment(home), place)
    try:
        yield process
    finally:
        process.stop()


def run(arguments: Sequence[str], home: Path, place: Place = list) -> tuple[int, str]:
    """Run a script to its end; returns exit code and output, without what a slow machine adds."""
    process = Process(arguments, environment(home), place)
    try:
        code = process.wait()
    finally:
        process.stop()
    return code, without_waiting(process.output)


def without_waiting(output: str) -> str:
    """Return what a command printed without the lines that a slow machine or answer adds."""
    return _WAITING.sub("", output)


def completed(
    arguments: Sequence[str], home: Path, place: Place = list
) -> subprocess.CompletedProcess[str]:
    """Run a script to its end; returns its exit code, and what it printed on each stream."""
    with TemporaryFile("w+") as errors:
        process = warm.start(
            place([str(SCRIPTS / arguments[0]), *arguments[1:]]),
            {**os.environ, "PYTHONUNBUFFERED": "1", **environment(home)},
            errors.fileno(),
        )
        killer = threading.Timer(DEADLINE_S, process.kill)
        killer.start()
        try:
            assert process.stdout is not None
            with process.stdout as stdout:
                printed = stdout.read()
            code = process.wait(DEADLINE_S)
        finally:
            killer.cancel()
        errors.seek(0)
        return subprocess.CompletedProcess(arguments, code, printed, errors.read())


def environment(home: Path) -> dict[str, str]:
    """Return what makes a process live under `home` alone."""
    runtime = home / "run"
    runtime.mkdir(mode=0o700, parents=True, exist_ok=True)
    return {
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / "config"),
        "XDG_RUNTIME_DIR": str(runtime),
        "USBSHARE_CONFIG": "",
        "USBSHARE_DISCOVERY_INTERFACES": "127.0.0.1",
    }


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """Return a port of loopback that nobody has, and that no connection is given by chance."""
    for port in _BELOW_EPHEMERAL:
        with socket.socket(socket.AF_INET, kind) as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("unreachable")


def wait_for_listener(told: str) -> None:
    """Return once newcomers are heard where `pki invite` says that nobody answers yet.

    The listener's priority is low.
    """
    if match := re.search(
        r"(?:no service of this host answers|opening enrolment) at (\S+):(\d+):", told
    ):
        end = time.monotonic() + DEADLINE_S
        with socket.socket() as attempt:
            while attempt.connect_ex((match[1], int(match[2]))):
                assert time.monotonic() < end, told
                time.sleep(0.1)


@contextmanager
def serial_service(home: Path, *arguments: str) -> Iterator[tuple[Process, str]]:
    """Run serial-svc on a free port of loopback; yields it and its target."""
    with running(["serial-svc", "--listen", "127.0.0.1:0", *arguments], home) as service:
        match = service.wait_for(r"ready at 127\.0\.0\.1:(\d+)")
        yield service, f"127.0.0.1:{match[1]}"


@contextmanager
def camera_service(home: Path, *arguments: str) -> Iterator[tuple[Process, str]]:
    """Run camera-svc on a free port of loopback; yields it and its target."""
    with running(["camera-svc", "--listen", "127.0.0.1:0", *arguments], home) as service:
        match = service.wait_for(r"ready at 127\.0\.0\.1:(\d+)")
        yield service, f"127.0.0.1:{match[1]}"


@contextmanager
def simulated(firmware: str, home: Path) -> Iterator[tuple[str, Path]]:
    """Run a simulated machine; yields its device path and the record that it writes."""
    link, record = home / f"tty-{firmware}", home / f"{firmware}.jsonl"
    arguments = ["serial-svc", "simulate", firmware, "--pty", str(link), "--record", str(record)]
    with running(arguments, home) as process:
        process.wait_for("ready")
        yield str(link), record
