"""Where a benchmark plays: a temporary folder and the processes in it, all gone at the end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

REPOSITORY = Path(__file__).resolve().parent.parent
SCRIPTS = Path(sys.executable).parent
READY_TIMEOUT_S = float(os.environ.get("BENCH_READY_S", "30"))
END_TIMEOUT_S = 5.0


class BenchError(Exception):
    """A benchmark cannot go on; the text says why."""


class Actor:
    """A process; what it says on stderr (and stdout, unless it is asked) goes to a log file."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def pid(self) -> int:
        """The process's number."""
        return self.process.pid

    @property
    def said(self) -> str:
        """What the log holds so far."""
        return self._log.read_text(errors="replace")

    def wait_for(self, text: str) -> None:
        """Return once the log has the text; raises BenchError with the log otherwise."""
        deadline = time.monotonic() + READY_TIMEOUT_S
        while text not in self.said:
            self._check(deadline, text)
            time.sleep(0.02)

    def ask(self, line: str) -> str:
        """Send a line and return the answer."""
        self.tell(line)
        return self.answer()

    def tell(self, line: str) -> None:
        """Send a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def answer(self) -> str:
        """Return the next line; raises BenchError when the process has ended."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise BenchError(f"{self.process.args!r} ended:\n{self.said}")
        return line.strip()

    def end(self) -> None:
        """Ask the process and its children to end, then make them."""
        for number in (signal.SIGCONT, signal.SIGTERM):
            self._signal(number)
        try:
            self.process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self._signal(signal.SIGKILL)
            self.process.wait()

    def _signal(self, number: int) -> None:
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            return

    def _check(self, deadline: float, text: str) -> None:
        if self.process.poll() is not None or time.monotonic() > deadline:
            raise BenchError(f"{self.process.args!r} did not say {text!r}:\n{self.said}")


class Stage:
    """Starts actors; leaving it ends them and removes the folder."""

    def __init__(self) -> None:
        self._exits = ExitStack()
        self.folder = Path()
        self._count = 0

    def __enter__(self) -> Self:
        name = self._exits.enter_context(tempfile.TemporaryDirectory(prefix="usbshare-bench-"))
        self.folder = Path(name)
        (self.folder / "run").mkdir(mode=0o700)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._exits.close()

    def path(self, name: str) -> str:
        """Return a path in the folder."""
        return str(self.folder / name)

    def start(
        self,
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        descriptors: Sequence[int] = (),
        asked: bool = False,
    ) -> Actor:
        """Start a process that lives in the folder alone; `asked` ones answer on stdout."""
        self._count += 1
        log = self.folder / f"{self._count}-{Path(arguments[0]).name}.log"
        with log.open("w") as file:
            process = subprocess.Popen(
                arguments,
                stdin=subprocess.PIPE if asked else subprocess.DEVNULL,
                stdout=subprocess.PIPE if asked else file,
                stderr=file,
                env={**self.environment(), **(environment or {})},
                pass_fds=descriptors,
                start_new_session=True,
                text=True,
            )
        actor = Actor(process, log)
        self._exits.callback(actor.end)
        return actor

    def wait_for_path(self, name: str, actor: Actor) -> str:
        """Return the path once the actor has made it."""
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not (self.folder / name).exists():
            actor._check(deadline, f"that {name} is there")
            time.sleep(0.02)
        return self.path(name)

    def environment(self) -> dict[str, str]:
        """Return the environment of what lives in the folder alone."""
        return {
            **os.environ,
            "HOME": str(self.folder),
            "XDG_CONFIG_HOME": self.path("config"),
            "XDG_RUNTIME_DIR": self.path("run"),
            "USBSHARE_HOME": self.path("usbshare"),
            "USBSHARE_CONFIG": "",
            "PYTHONUNBUFFERED": "1",
            "PYTHONPATH": os.pathsep.join(
                filter(None, [os.environ.get("PYTHONPATH", ""), str(REPOSITORY)])
            ),
        }


def free_port() -> int:
    """Return a free TCP port of loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def processor_s(pid: int) -> float:
    """Return the time on a processor of all threads that a process has, exactly."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9
