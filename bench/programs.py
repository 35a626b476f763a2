"""The device and the program at the ends: line.c where a C compiler is, else line.py."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from bench.stage import Actor, Stage

_SOURCE = Path(__file__).with_name("line.c")


class Programs:
    """Starts the ends of lines on one stage."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._command = _compiled(stage) or [sys.executable, "-m", "bench.line"]

    def start(self, role: str, place: str) -> Actor:
        """Start `echo`, `ask` or `flow` at a path or link, and wait until it is ready."""
        actor = self._stage.start([*self._command, role, place], asked=True)
        actor.answer()
        return actor


def _compiled(stage: Stage) -> list[str] | None:
    compiler = shutil.which("cc")
    program = stage.path("line")
    if compiler is not None:
        command = [compiler, "-O2", "-o", program, str(_SOURCE), "-lutil"]
        if subprocess.run(command, check=False, capture_output=True).returncode == 0:
            return [program]
    print("no C compiler: the ends are Python programs, so every absolute time is longer")
    return None
