"""Sits between file descriptor 2 and the real stderr: reads what C libraries write there."""

from __future__ import annotations

import faulthandler
import io
import logging
import os
import secrets
import select
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from usbshare.base.log_writer import LogWriter

_READ_BYTES = 256 * 1024
_JOIN_TIMEOUT_S = 1.0


@contextmanager
def tapped_stderr(read: Callable[[bytes, Callable[[bytes], None]], None]) -> Iterator[None]:
    """Call `read(chunk, pass_on)`, in a separate thread, with everything written to fd 2.

    Python's own stderr, its log and its last words in a crash go to the real one directly. At the
    end everything written before has been read, and what was logged before is written, unless the
    real one takes nothing for a second.
    """
    real = os.dup(2)
    incoming, outgoing = os.pipe()
    _never_block(outgoing)
    with _python_writes_to(real):
        os.dup2(outgoing, 2)
        end = b"\0" + secrets.token_bytes(16) + b"\n"
        thread = threading.Thread(
            target=_read_on, args=(incoming, real, end, read), name="stderr of gRPC", daemon=True
        )
        thread.start()
        try:
            yield
        finally:
            os.dup2(real, 2)
            # A child may hold the pipe open: its end would never come.
            _write_in_time(outgoing, end)
            thread.join(_JOIN_TIMEOUT_S)
    # Otherwise the real stderr has no reader, and the process is about to end.
    if not thread.is_alive() and _log_is_written():
        for descriptor in (incoming, outgoing, real):
            os.close(descriptor)


def _write_in_time(pipe: int, data: bytes) -> None:
    """Write to a pipe that may stay full: nothing then."""
    if select.select([], [pipe], [], _JOIN_TIMEOUT_S)[1]:
        with suppress(BlockingIOError):  # room for less than that
            os.write(pipe, data)


def _read_on(
    incoming: int,
    real: int,
    end: bytes,
    read: Callable[[bytes, Callable[[bytes], None]], None],
) -> None:
    def pass_on(data: bytes) -> None:
        with suppress(OSError):  # it has no reader any longer
            while data:
                data = data[os.write(real, data) :]

    while True:
        chunk = os.read(incoming, _READ_BYTES)
        last = chunk.endswith(end)
        read(chunk.removesuffix(end), pass_on)
        if last or not chunk:
            return


@contextmanager
def _python_writes_to(descriptor: int) -> Iterator[None]:
    before = sys.stderr
    file = io.FileIO(descriptor, "w", closefd=False)
    stream = io.TextIOWrapper(
        io.BufferedWriter(file), errors="backslashreplace", line_buffering=True
    )
    had_faults = faulthandler.is_enabled()
    faulthandler.enable(descriptor)
    sys.stderr = stream
    _move_log(before, stream)
    try:
        yield
    finally:
        stream.flush()
        sys.stderr = before
        _move_log(stream, before)
        faulthandler.disable()
        if had_faults:
            faulthandler.enable()


def _move_log(before: TextIO, after: TextIO) -> None:
    for handler in logging.getLogger().handlers:
        if isinstance(handler, (logging.StreamHandler, LogWriter)) and handler.stream is before:
            handler.setStream(after)


def _log_is_written() -> bool:
    """Wait for the log's threads, which may be in the midst of writing to the descriptor."""
    writers = [each for each in logging.getLogger().handlers if isinstance(each, LogWriter)]
    for writer in writers:
        writer.flush()
    return not any(writer.lines.is_behind for writer in writers)


def _never_block(pipe: int) -> None:
    """Make a full pipe lose lines.

    gRPC writes while it holds the interpreter's lock, which the reader waits for: it would block
    for ever. The pipe is as wide as the system allows, so that a flood fits.
    """
    os.set_blocking(pipe, False)
    with suppress(ImportError, AttributeError, OSError):  # Linux only, and within its limits
        import fcntl  # noqa: PLC0415

        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, 1024 * 1024)
