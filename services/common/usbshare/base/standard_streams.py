"""Descriptors 0 to 2: every program makes sure of them before anything else can open a file.

A launcher may start a program with some of them closed. The next file or socket then takes the free
number: messages go into it, and libuv aborts the process when it closes one (`uv__close: Assertion
fd > STDERR_FILENO failed`, libuv src/unix/core.c).
"""

from __future__ import annotations

import os
import sys
from typing import IO, Any

_NAMES = ("stdin", "stdout", "stderr")


def ensure_standard_streams() -> None:
    """Open what is closed of descriptors 0 to 2 on the null device; what is open stays as it is."""
    for number, name in enumerate(_NAMES):
        if not _is_open(number):
            _open_null(number)
        if getattr(sys, name) is None:
            setattr(sys, name, _text_stream(number))


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _open_null(number: int) -> None:
    """Put the null device there; where a jail has none, the end of a pipe that leads nowhere."""
    try:
        opened = os.open(os.devnull, os.O_RDWR)
    except OSError:
        opened = _dead_end(is_read=number == 0)
    if opened == number:
        os.set_inheritable(number, True)
    else:
        os.dup2(opened, number)
        os.close(opened)


def _dead_end(*, is_read: bool) -> int:
    reading, writing = os.pipe()
    os.close(writing if is_read else reading)
    return reading if is_read else writing


def _text_stream(number: int) -> IO[Any]:
    """Return what Python itself leaves out where a descriptor was closed at its start."""
    mode = "r" if number == 0 else "w"
    return open(number, mode, encoding="utf-8", errors="backslashreplace", closefd=False)
