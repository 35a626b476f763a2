"""A loop ends although a call that it began still blocks, and so does the process."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time

import pytest

from usbshare.base.daemon_executor import DaemonExecutor
from usbshare.base.event_loop import run

DEADLINE_S = 30.0


async def begin_and_leave(release: threading.Event) -> str:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await asyncio.to_thread(release.wait)
    return "over"


def test_a_loop_does_not_wait_for_an_abandoned_call() -> None:
    release = threading.Event()
    try:
        assert run(begin_and_leave(release)) == "over"
    finally:
        release.set()


def test_a_process_does_not_wait_for_an_abandoned_call() -> None:
    script = (
        "import asyncio, os\n"
        "from usbshare.base.event_loop import run\n"
        "incoming, outgoing = os.pipe()\n"
        "async def main():\n"
        "    loop = asyncio.get_running_loop()\n"
        "    loop.run_in_executor(None, os.read, incoming, 1)\n"
        "    try:\n"
        "        await asyncio.wait_for(asyncio.to_thread(os.read, incoming, 1), 0.01)\n"
        "    except TimeoutError:\n"
        "        print('gave up')\n"
        "run(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "gave up\n", "")


async def test_a_call_that_blocks_delays_no_other() -> None:
    release = threading.Event()
    loop = asyncio.get_running_loop()
    executor = DaemonExecutor()
    blocked = [loop.run_in_executor(executor, release.wait) for _ in range(64)]
    try:
        assert await loop.run_in_executor(executor, lambda: 7) == 7
    finally:
        release.set()
    assert await asyncio.gather(*blocked) == [True] * 64


def test_after_its_end_it_begins_nothing() -> None:
    executor = DaemonExecutor()
    executor.shutdown()
    with pytest.raises(RuntimeError):
        executor.submit(time.monotonic)


async def return_and_raise() -> None:
    assert await asyncio.to_thread(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        await asyncio.to_thread(lambda: 1 // 0)


def test_results_and_errors_come_back() -> None:
    run(return_and_raise())
