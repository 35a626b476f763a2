"""Blocking calls have threads that nothing else waits for."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import pytest

from fakes.waiting import until
from usbshare.base.threads import OwnThread, begin, in_thread

PATIENCE_S = 20.0
_HANGS = """
import asyncio, threading
from usbshare.base.threads import OwnThread, in_thread

async def main():
    own = OwnThread("own")
    hanging = [in_thread(threading.Event().wait) for _ in range(3)]
    hanging += [own.run(threading.Event().wait) for _ in range(3)]
    done, waiting = await asyncio.wait([asyncio.create_task(each) for each in hanging], timeout=0.1)
    assert not done
    print(await in_thread(lambda: "went through"))

asyncio.run(main())
"""


async def test_calls_that_hang_hold_up_no_other() -> None:
    goes_on = threading.Event()
    hanging = [begin(goes_on.wait, PATIENCE_S) for _ in range(100)]
    assert await in_thread(lambda: 7) == 7
    goes_on.set()
    assert all(await asyncio.gather(*hanging))


async def test_errors_reach_the_waiting_caller() -> None:
    own = OwnThread("own")

    def fails() -> None:
        raise FileNotFoundError("gone")

    for call in (in_thread(fails), own.run(fails)):
        with pytest.raises(FileNotFoundError, match="gone"):
            await call
    own.close()


async def test_begun_work_is_done_though_its_caller_is_cancelled_at_once() -> None:
    done = threading.Event()
    begin(done.set).cancel()
    assert await in_thread(done.wait, PATIENCE_S)


async def test_an_own_thread_does_one_piece_after_the_other_and_drops_the_rest() -> None:
    own, goes_on, order = OwnThread("own"), threading.Event(), list[int]()

    def waits_first() -> None:
        assert goes_on.wait(PATIENCE_S)
        order.append(1)

    first = asyncio.create_task(own.run(waits_first))
    second = asyncio.create_task(own.run(lambda: order.append(2)))
    third = asyncio.create_task(own.run(lambda: order.append(3)))
    await asyncio.sleep(0)
    second.cancel()
    goes_on.set()
    await asyncio.gather(first, third)
    assert order == [1, 3]
    own.close()
    with pytest.raises(RuntimeError, match="thread 'own' is closed"):
        await own.run(lambda: None)


def test_a_call_that_hangs_does_not_keep_the_process_alive() -> None:
    run = [sys.executable, "-c", _HANGS]
    ended = subprocess.run(run, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (0, "went through\n"), ended.stderr


async def test_the_idle_work_of_a_thread_can_be_paused_and_continued() -> None:
    looks: list[None] = []
    thread = OwnThread("looker", lambda: looks.append(None), 0.001)
    thread.start()
    await until(lambda: len(looks) >= 3)
    thread.idle_every(None)
    await thread.run(lambda: None)
    before = len(looks)
    assert await thread.run(lambda: 7) == 7
    assert len(looks) == before
    thread.idle_every(3600.0)
    await until(lambda: len(looks) == before + 1)
    thread.close()


async def test_a_rest_that_ends_while_the_thread_is_busy_is_not_missed() -> None:
    for _ in range(200):
        looks: list[None] = []
        thread = OwnThread("looker", lambda: looks.append(None))  # noqa: B023
        await thread.run(lambda: None)
        thread.idle_every(3600.0)
        await until(lambda: looks)  # noqa: B023
        thread.close()
