"""A stream that takes nothing holds up nobody who logs."""

from __future__ import annotations

import io
import logging
import os
import pty
import subprocess
import sys
import termios
import time
from collections.abc import Iterator

import pytest

from usbshare.base.line_writer import MOST_WAITING
from usbshare.base.log_writer import LogWriter

PATIENCE_S = 20.0
_LOGS_AND_ENDS = """
import logging
from usbshare.base.logs import set_up_logging
set_up_logging("info")
for number in range(10_000):
    logging.info("%d %s", number, "x" * 100)
print("logged", flush=True)
"""


@pytest.fixture
def pipe() -> Iterator[tuple[int, io.TextIOWrapper]]:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream:
        yield reading, stream
    os.close(reading)


def logger_to(writer: LogWriter) -> logging.Logger:
    logger = logging.Logger("test")
    logger.addHandler(writer)
    return logger


def read_until(descriptor: int, end: bytes) -> bytes:
    text = b""
    while not text.endswith(end):
        text += os.read(descriptor, 65536)
    return text


def test_lines_are_written_in_order(pipe: tuple[int, io.TextIOWrapper]) -> None:
    reading, stream = pipe
    writer = LogWriter(stream)
    logger = logger_to(writer)
    for number in range(100):
        logger.info("line %d", number)
    assert read_until(reading, b"line 99\n").decode().splitlines() == [
        f"line {number}" for number in range(100)
    ]
    writer.close()


def test_a_full_pipe_drops_and_says_so_once_it_is_read(
    pipe: tuple[int, io.TextIOWrapper],
) -> None:
    reading, stream = pipe
    writer = LogWriter(stream)
    logger = logger_to(writer)
    for number in range(3 * MOST_WAITING):
        logger.info("%d %s", number, "x" * 100)
    assert writer.lines.lost >= MOST_WAITING // 2
    written = told = 0
    with open(reading, "rb", closefd=False) as lines:
        while written + told < 3 * MOST_WAITING:
            line = lines.readline()
            written += line.endswith(b"x\n")
            if line.endswith(b" log lines dropped: stderr did not accept them\n"):
                told += int(line.split()[0])
    assert told == writer.lines.lost
    writer.close()


def test_arguments_that_do_not_fit_are_reported(pipe: tuple[int, io.TextIOWrapper]) -> None:
    reading, stream = pipe
    writer = LogWriter(stream)
    logger_to(writer).info("%d", "no number")
    text = read_until(reading, b"\n").decode()
    assert text.startswith("cannot be formatted: '%d': ")
    writer.close()


def test_a_stream_without_a_descriptor_is_written_to() -> None:
    stream = io.StringIO()
    writer = LogWriter(stream)
    logger_to(writer).info("here")
    writer.close()
    assert stream.getvalue() == "here\n"


def test_a_suspended_terminal_delays_neither_logging_nor_the_end() -> None:
    master, slave = pty.openpty()
    termios.tcflow(slave, termios.TCOOFF)
    command = [sys.executable, "-c", _LOGS_AND_ENDS]
    before = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=slave, text=True) as process:
        try:
            out, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, out) == (0, "logged\n")
    assert time.monotonic() - before < PATIENCE_S
    os.close(slave)
    os.close(master)
