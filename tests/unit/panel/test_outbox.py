from __future__ import annotations

import asyncio

from usbshare.panel.board import HOSTS, MACHINES, Board
from usbshare.panel.outbox import MOST_LINES, Outbox


async def taken(outbox: Outbox) -> list[str]:
    """Return all that waits."""
    frames = []
    while True:
        try:
            async with asyncio.timeout(0):
                frames.append(await outbox.next())
        except TimeoutError:
            return frames


async def test_a_newer_state_replaces_one_that_waits() -> None:
    outbox = Outbox()
    for number in range(1000):
        outbox.state("a", f"a{number}")
        outbox.state("b", f"b{number}")
    assert await taken(outbox) == ["a999", "b999"]


async def test_answers_overtake_states_and_stops_overtake_answers() -> None:
    outbox = Outbox()
    outbox.line("console", "[", "line", "]")
    outbox.state("a", "state")
    outbox.answer("answer")
    outbox.answer("stop", is_urgent=True)
    assert outbox.answers == 2
    assert await taken(outbox) == ["stop", "answer", "state", "[line]"]


async def test_of_lines_the_oldest_are_dropped() -> None:
    outbox = Outbox()
    for number in range(MOST_LINES + 7):
        outbox.line("console", "[", str(number), "]")
    (frame,) = await taken(outbox)
    assert frame == f"[{','.join(str(each) for each in range(7, MOST_LINES + 7))}]"


async def test_a_waiting_reader_is_woken() -> None:
    outbox = Outbox()
    waiting = asyncio.create_task(outbox.next())
    await asyncio.sleep(0)
    outbox.state("a", "1")
    assert await waiting == "1"


async def test_a_page_that_comes_later_has_all_in_its_snapshot() -> None:
    board = Board()
    assert not board.watched.is_set()
    board.put(HOSTS, ("b",), '{"key":"b"}')
    board.put(HOSTS, ("a",), '{"key":"a"}')
    board.put(MACHINES, ("a", "laser"), "{}")
    board.remove(MACHINES, ("a", "laser"), "{}")
    page = board.open(is_local=False)
    assert board.watched.is_set()
    assert await taken(page) == ['{"snapshot":{"gateway":{},"hosts":[{"key":"a"},{"key":"b"}]}}']
    board.put(HOSTS, ("a",), '{"key":"a"}')  # no news
    board.remove(HOSTS, ("b",), '"b"')
    assert await taken(page) == ['{"hostRemoved":"b"}']
    board.close(page)
    assert not board.watched.is_set()
