"""What a lost link costs a program, and what goes again."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.upstream_talk import NOW, PLENTY, all_taken, resume, taken, upstream
from usbshare.client.serial.messages import (
    Acknowledge,
    Configure,
    Heartbeat,
    Lost,
    Message,
    SendCommand,
    SetLines,
    Waiting,
)
from usbshare.client.serial.upstream import READ_AHEAD_BYTES
from usbshare.line.credit import Credit
from usbshare.line.profiles import GRBL, RAW
from usbshare.line.settings import LineSettings


def test_bytes_sent_and_not_consumed_are_in_doubt() -> None:
    up = upstream()
    up.add_program(b"123456\n")
    taken(up)
    up.credit(Credit(1 << 20, 1000, consumed_offset=3))
    assert up.unconsumed_bytes == 4


def test_after_a_loss_the_rest_of_a_cut_line_is_void() -> None:
    up = upstream(grbl=True)
    up.add_program(b"G1 X10\nG1 X3")
    taken(up)
    assert up.lose() == 12
    up.begin(epoch=3, profile=GRBL)
    up.credit(PLENTY)
    up.add_program(b"0 Y40 S900\nG1 X5\n")
    assert taken(up) == [SendCommand(1, 0, b"G1 X5\n", epoch=3)]


def test_bytes_that_a_lost_session_missed_go_before_waiting_ones() -> None:
    up = upstream(Credit(12, 10, 0))
    up.add_program(b"G0 X1\nG0 X2\nG0 X3\n")
    taken(up)
    assert resume(up, 6) == 6
    up.credit(PLENTY)
    assert taken(up) == [
        SendCommand(2, 6, b"G0 X2\n", epoch=3),
        SendCommand(3, 12, b"G0 X3\n", epoch=3),
    ]


def test_waiting_bytes_are_reported_before_any_are_sent() -> None:
    up = upstream()
    up.add_program(b"G0 X1\n")
    assert len(taken(up)) == 1
    up.add_program(b"G0 X2\n")
    up.lose_link()
    up.add_program(b"G0 X3\n")
    up.resume(0, 0, epoch=3, profile=RAW, age_s=7.5)
    up.credit(PLENTY)
    first, *rest = all_taken(up)
    assert first == Waiting(18, 7.5)
    assert b"".join(each.data for each in rest if isinstance(each, SendCommand)) == (
        b"G0 X1\nG0 X2\nG0 X3\n"
    )


def test_of_what_a_stop_has_voided_nothing_waits() -> None:
    up = upstream()
    up.lose_link()
    up.add_program(b"G0 X3\n")
    up.resume(0, 0, epoch=4, profile=RAW, age_s=7.5)
    assert all_taken(up) == [Waiting(0, 7.5)]


def test_lost_bytes_are_reported_to_each_new_session_until_the_service_knows() -> None:
    up = upstream()
    up.add_program(b"G0 X1\n")
    assert len(taken(up)) == 1
    assert up.lose() == 6
    for _ in range(2):
        up.begin(epoch=3, profile=RAW)
        up.add_program(b"G0 X2\n")
        up.credit(PLENTY)
        assert all_taken(up)[0] == Lost(6)
    up.loss_is_known()
    up.begin(epoch=3, profile=RAW)
    assert all_taken(up) == []


def test_consumed_bytes_are_not_kept() -> None:
    up = upstream()
    up.add_program(b"G0 X1\n")
    taken(up)
    up.credit(Credit(1 << 20, 1000, consumed_offset=6))
    assert not up._in_flight


@pytest.mark.parametrize(("offset", "can"), [(2, False), (3, True), (6, True), (7, False)])
def test_a_session_is_resumed_only_where_we_can_go_on(offset: int, can: bool) -> None:
    up = upstream()
    up.add_program(b"G0 X1\n")
    taken(up)
    up.credit(Credit(1 << 20, 1000, consumed_offset=3))
    assert up.can_resume(offset) == can


def test_a_stop_while_the_link_was_down_voids_what_would_go_again() -> None:
    up = upstream(Credit(6, 10, 0))
    up.add_program(b"G0 X1\nG0 X2\n")
    taken(up)
    assert resume(up, 2, epoch=4) == 0
    up.credit(PLENTY)
    assert taken(up) == []
    assert up.voided_bytes == 10


def test_a_stop_before_the_loss_voids_what_would_go_again() -> None:
    up = upstream()
    up.add_program(b"G0 X1\n")
    taken(up)
    up.port_changed(epoch=4, profile=RAW)
    assert resume(up, 0, epoch=4) == 0
    assert taken(up) == []


def test_settings_that_were_sent_go_again_in_their_place_until_they_are_answered() -> None:
    up = upstream()
    settings = Configure(7, LineSettings(baud=9600))
    up.add_program(b"slow\n")
    up.add_ordered(settings)
    up.add_program(b"fast\n")
    taken(up)
    resume(up, 3)
    assert taken(up) == [
        SendCommand(2, 3, b"w\n", epoch=3),
        settings,
        SendCommand(3, 5, b"fast\n", epoch=3),
    ]
    up.answered(7)
    resume(up, 5, 2)
    assert taken(up) == [SendCommand(3, 5, b"fast\n", epoch=3)]


def test_settings_before_bytes_that_arrived_do_not_go_again() -> None:
    up = upstream()
    up.add_ordered(Configure(7, LineSettings(baud=9600)))
    up.add_program(b"fast\n")
    taken(up)
    resume(up, 1)
    assert taken(up) == [SendCommand(2, 1, b"ast\n", epoch=3)]


def test_requests_that_waited_are_kept_and_signs_of_life_are_not() -> None:
    up = upstream()
    lines = SetLines(1, dtr=True, rts=None)
    for message in (Heartbeat(1, 0.0), Acknowledge(), lines):
        up.add_urgent(message)
    resume(up, 0, 0)
    assert taken(up) == [lines]


def test_the_line_of_a_new_program_is_not_taken_for_the_rest_of_a_cut_one() -> None:
    up = upstream(grbl=True)
    up.add_program(b"G1 X3")
    taken(up)
    up.lose()
    up.begin(epoch=3, profile=GRBL)
    up.credit(PLENTY)
    up.program_came()
    up.add_program(b"$I\n")
    assert taken(up) == [SendCommand(1, 0, b"$I\n", epoch=3)]


class Far:
    """A service that takes commands while its link stands, and some of those on the way."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.commands = self.consumed = 0
        self._on_the_way: list[SendCommand] = []

    def send(self, messages: list[Message]) -> None:
        self._on_the_way += [m for m in messages if isinstance(m, SendCommand)]

    def arrive(self, count: int) -> None:
        for command in self._on_the_way[:count]:
            assert command.offset == len(self.received)
            self.received += command.data
            self.commands += 1
        del self._on_the_way[:count]

    def cut(self, count: int) -> None:
        self.arrive(count)
        self._on_the_way.clear()

    def consume(self, size: int) -> Credit:
        self.consumed = min(len(self.received), self.consumed + size)
        return Credit(self.consumed + 300, self.commands + 5, self.consumed)


_steps = st.one_of(
    st.tuples(st.just("write"), st.integers(1, 900)),
    st.tuples(st.just("arrive"), st.integers(0, 6)),
    st.tuples(st.just("credit"), st.integers(0, 500)),
    st.tuples(st.just("lost"), st.integers(0, 6)),
)


@given(st.lists(_steps, max_size=80), st.randoms(use_true_random=False))
def test_however_often_the_link_is_lost_every_byte_arrives_once_and_in_order(
    steps: list[tuple[str, int]], random: Random
) -> None:
    up, far, written = upstream(Credit(300, 5, 0)), Far(), bytearray()
    for now, (step, number) in enumerate([*steps, ("lost", 0)]):
        if step == "write":
            data = random.randbytes(min(number, up.room))
            written += data
            if message := up.pass_through(data, NOW) if data else None:
                far.send([message])
            elif data:
                up.add_program(data)
        elif step == "arrive":
            far.arrive(number)
        elif step == "credit":
            up.credit(far.consume(number))
        else:
            far.cut(number)
            assert up.can_resume(len(far.received))
            resume(up, len(far.received), far.commands)
        far.send(taken(up, NOW + now))
        assert up.room <= READ_AHEAD_BYTES
    while up.waiting_bytes or up.unconsumed_bytes:
        far.arrive(1000)
        up.credit(far.consume(1000))
        far.send(taken(up, NOW + 1e6))
    assert far.received == written


@pytest.mark.parametrize("bytes_at_a_time", [1, 100])
def test_bytes_kept_for_a_resume_are_bounded_by_the_credit(bytes_at_a_time: int) -> None:
    up, far = upstream(Credit(300, 300, 0)), Far()
    for number in range(2000):
        up.add_ordered(Configure(number, LineSettings()))
        up.add_program(b"x" * bytes_at_a_time)
        far.send(taken(up, NOW + number))
        far.arrive(1000)
        up.credit(far.consume(1000))
        assert len(up._in_flight) <= 2 * 300 + 1
