"""A flood of frames from a separate process, and what stops take meanwhile."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fakes import frame_flood
from usbshare.client.serial.client import SerialClient
from usbshare.line.profiles import StopAction
from usbshare.rpc.channel import parse_target
from usbshare.rpc.tls import ClientBundle

STOPS = 20
STOP_TIMEOUT_S = 10.0
# What a stop may take on a machine that does other things too; alone it is some milliseconds.
LONGEST_STOP_S = 2.0


@contextmanager
def flooding(target: str, kind: str, count: int, bundle: Path | None) -> Iterator[None]:
    """Flood from a separate process while the block lasts."""
    arguments = [target, kind, str(count), *([str(bundle)] if bundle else [])]
    process = subprocess.Popen(
        [sys.executable, frame_flood.__file__, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        yield
    finally:
        process.kill()
        process.communicate()


async def hold_times_s(target: str, bundle: Path, count: int = STOPS) -> list[float]:
    """Return what each of so many stops took, the first with its own connection."""
    found = []
    client = SerialClient(parse_target(target), ClientBundle.load(bundle))
    try:
        for _ in range(count):
            began = time.monotonic()
            await client.stop("laser", StopAction.HOLD, "test", timeout_s=STOP_TIMEOUT_S)
            found.append(time.monotonic() - began)
            await asyncio.sleep(0.02)
    finally:
        await client.close()
    return found
