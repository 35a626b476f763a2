"""What a program wrote, on its way: passed on at once, ended when it has left."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from usbshare.usbip.acm.writes import Writes

ROOM = 4096


class Owner:
    """Who takes the bytes; what it has not sent counts against the room."""

    def __init__(self) -> None:
        self.passed = bytearray()
        self.ended: list[int] = []
        self.waiting_bytes = 0
        self.writes = Writes(ROOM, self.take, lambda number, _: self.ended.append(number))

    def take(self, data: bytes) -> None:
        assert 0 < len(data) <= ROOM - self.waiting_bytes
        self.passed += data
        self.waiting_bytes += len(data)
        self.writes.allow(ROOM - self.waiting_bytes)

    def send(self, size: int) -> None:
        self.waiting_bytes -= min(size, self.waiting_bytes)
        self.writes.allow(ROOM - self.waiting_bytes)


@given(
    st.lists(st.one_of(st.binary(max_size=6000), st.integers(0, 6000)), max_size=30),
)
def test_every_byte_is_passed_once_in_order_and_ends_once_it_has_left(
    steps: list[bytes | int],
) -> None:
    owner, written, ends = Owner(), bytearray(), []
    for number, step in enumerate(steps):
        if isinstance(step, int):
            owner.send(step)
        else:
            written += step
            ends.append((number, len(written)))
            owner.writes.add(number, step)
        left = len(owner.passed) - owner.waiting_bytes
        assert written.startswith(owner.passed)
        assert owner.ended == [each for each, end in ends if end <= left]
    while owner.waiting_bytes:
        owner.send(ROOM)
    assert owner.passed == written
    assert owner.ended == [each for each, _ in ends]


def test_an_unlinked_write_says_whether_bytes_of_it_were_passed_on() -> None:
    owner = Owner()
    owner.writes.allow(0)
    owner.writes.add(1, b"held")
    assert not owner.writes.remove(1)
    owner.writes.allow(ROOM)
    owner.writes.add(2, b"passed")
    assert owner.writes.remove(2)
    assert not owner.writes.remove(2)
    owner.send(ROOM)
    assert owner.ended == []


def test_an_unlinked_write_does_not_hold_up_the_next() -> None:
    owner = Owner()
    owner.writes.add(1, b"first")
    owner.writes.add(2, b"second")
    owner.writes.remove(1)
    owner.send(5)
    assert owner.ended == []
    owner.send(6)
    assert owner.ended == [2]
