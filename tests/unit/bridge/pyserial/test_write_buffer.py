"""Many small writes reach the link as few runs, in order with everything else."""

from __future__ import annotations

import threading
from collections.abc import Callable
from math import inf

import pytest

from usbshare.bridge.pyserial.exchange import ROOM_BYTES, Exchange, LineLostError
from usbshare.bridge.pyserial.write_buffer import WrittenRuns
from usbshare.client.serial.upstream import READ_AHEAD_BYTES


class LinkThread:
    """The link's thread: does what was posted when it gets to it; `came` is what it saw."""

    def __init__(self) -> None:
        self.posted: list[tuple[Callable[..., None], tuple[object, ...]]] = []
        self.came: list[bytes] = []
        self.is_over = False

    def post(self, callback: Callable[..., None], *arguments: object) -> None:
        if self.is_over:
            raise LineLostError("the port was closed")
        self.posted.append((callback, arguments))

    def run(self) -> None:
        posted, self.posted = self.posted, []
        for callback, arguments in posted:
            callback(*arguments)


def test_the_link_is_woken_once_for_what_was_written_before_it_came() -> None:
    link = LinkThread()
    runs = WrittenRuns(link.post, link.came.append)
    for number in range(100):
        runs.add(b"%d\n" % number)
    assert len(link.posted) == 1
    link.run()
    assert link.came == [b"".join(b"%d\n" % number for number in range(100))]
    runs.add(b"later")
    link.run()
    assert link.came[1:] == [b"later"]


def test_a_request_keeps_its_place_between_writes() -> None:
    link = LinkThread()
    runs = WrittenRuns(link.post, link.came.append)
    runs.add(b"before")
    runs.end_run()
    link.post(link.came.append, b"[request]")
    runs.add(b"after")
    runs.add(b"wards")
    link.run()
    assert link.came == [b"before", b"[request]", b"afterwards"]


def test_bytes_for_a_link_that_has_ended_are_refused_each_time() -> None:
    link = LinkThread()
    link.is_over = True
    runs = WrittenRuns(link.post, link.came.append)
    for _ in range(2):
        with pytest.raises(LineLostError):
            runs.add(b"x")


def test_a_program_that_filled_the_room_is_woken_for_a_good_part_of_it() -> None:
    exchange = Exchange()
    exchange.show_upstream(READ_AHEAD_BYTES, 0)
    assert exchange.reserve(2 * READ_AHEAD_BYTES, inf) == READ_AHEAD_BYTES
    exchange.added(READ_AHEAD_BYTES)
    exchange.show_upstream(0, READ_AHEAD_BYTES)
    got: list[int] = []
    writer = threading.Thread(target=lambda: got.append(exchange.reserve(READ_AHEAD_BYTES, inf)))
    writer.start()
    for room in range(20, ROOM_BYTES, 20):
        exchange.show_upstream(room, READ_AHEAD_BYTES - room)
    assert not got
    exchange.show_upstream(ROOM_BYTES, READ_AHEAD_BYTES - ROOM_BYTES)
    writer.join(60)
    assert got == [ROOM_BYTES]


def test_at_the_deadline_a_program_gets_the_room_there_is() -> None:
    exchange = Exchange()
    exchange.show_upstream(20, 4076)
    assert exchange.reserve(20, 0.0) == 20
    assert exchange.reserve(20, 0.0) == 0
