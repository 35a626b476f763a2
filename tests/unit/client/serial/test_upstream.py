"""What the program wrote and the service has no credit for yet."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usbshare.base.gather import GATHER_S
from usbshare.client.serial.messages import (
    Acknowledge,
    Configure,
    Flush,
    Goodbye,
    Heartbeat,
    Lost,
    Message,
    SendCommand,
    SendRealtime,
    SetLines,
    Waiting,
)
from usbshare.client.serial.upstream import READ_AHEAD_BYTES, Upstream
from usbshare.line.credit import Credit
from usbshare.line.profiles import GRBL, MARLIN, RAW
from usbshare.line.settings import LineSettings

NOW = 100.0
PLENTY = Credit(limit_offset=1 << 20, limit_commands=1000, consumed_offset=0)


def upstream(credit: Credit = PLENTY, *, grbl: bool = False) -> Upstream:
    made = Upstream()
    made.begin(epoch=3, profile=GRBL if grbl else RAW)
    made.credit(credit)
    return made


def taken(from_: Upstream, now: float = NOW) -> list[Message]:
    """Return all that goes but what is told of waiting and lost bytes."""
    return [each for each in all_taken(from_, now) if not isinstance(each, Waiting | Lost)]


def all_taken(from_: Upstream, now: float = NOW) -> list[Message]:
    messages = []
    while from_.wait_s(now) == 0:
        messages.append(from_.take(now))
    return messages


def test_bytes_become_a_command_with_offset_and_epoch() -> None:
    up = upstream()
    up.add_program(b"G0 X1\n")
    up.add_program(b"G0 X2\n")
    assert taken(up) == [SendCommand(1, 0, b"G0 X1\nG0 X2\n", epoch=3)]
    up.add_program(b"ok\n")
    assert taken(up) == [SendCommand(2, 12, b"ok\n", epoch=3)]


def test_nothing_goes_beyond_the_credit_in_bytes() -> None:
    up = upstream(Credit(5, 10, 0))
    up.add_program(b"1234567")
    assert taken(up) == [SendCommand(1, 0, b"12345", epoch=3)]
    assert up.wait_s(NOW) is None
    up.credit(Credit(9, 10, 5))
    assert taken(up) == [SendCommand(2, 5, b"67", epoch=3)]


def test_nothing_goes_beyond_the_credit_in_commands() -> None:
    up = upstream(Credit(100, 1, 0))
    up.add_program(b"a\n")
    taken(up)
    up.add_program(b"b\n")
    assert up.wait_s(NOW) is None


def test_the_room_to_read_ahead_is_bounded() -> None:
    up = upstream(Credit(0, 0, 0))
    assert up.room == READ_AHEAD_BYTES
    up.add_program(b"x" * READ_AHEAD_BYTES)
    assert up.room == 0


def test_an_urgent_byte_passes_what_waits_for_credit() -> None:
    up = upstream(Credit(0, 0, 0), grbl=True)
    up.add_program(b"G1 X10\n" * 100)
    up.add_program(b"G1!\n")
    assert taken(up) == [SendRealtime(b"!", 3, 1)]


def test_a_reset_byte_drops_what_waits_before_it() -> None:
    up = upstream(Credit(0, 0, 0), grbl=True)
    up.add_program(b"G1 X10\n")
    up.add_program(b"G1 X20\n\x18$X\n")
    assert taken(up) == [SendRealtime(b"\x18", 3, 1)]
    up.credit(PLENTY)
    assert taken(up) == [SendCommand(1, 0, b"$X\n", epoch=3, after_reset=1)]


def test_settings_keep_their_place_among_the_bytes() -> None:
    up = upstream()
    settings = Configure(1, LineSettings(baud=9600))
    up.add_program(b"before")
    up.add_ordered(settings)
    up.add_program(b"after\n")
    up.add_ordered(Goodbye())
    assert taken(up) == [
        SendCommand(1, 0, b"before", epoch=3),
        settings,
        SendCommand(2, 6, b"after\n", epoch=3),
        Goodbye(),
    ]


def test_a_heartbeat_waits_for_no_credit() -> None:
    up = upstream(Credit(0, 0, 0))
    up.add_program(b"G1 X10\n")
    up.add_urgent(Heartbeat(1, 0.0))
    assert taken(up) == [Heartbeat(1, 0.0)]


def test_a_stream_is_gathered_while_bytes_are_unacknowledged() -> None:
    up = upstream()
    up.add_program(b"a")
    assert taken(up) == [SendCommand(1, 0, b"a", epoch=3)]
    up.add_program(b"b")
    wait_s = up.wait_s(NOW)
    assert wait_s is not None
    assert 0 < wait_s <= GATHER_S + 1e-6
    up.add_program(b"c")
    assert taken(up, NOW + GATHER_S) == [SendCommand(2, 1, b"bc", epoch=3)]


def test_acknowledged_bytes_let_the_next_go_at_once() -> None:
    up = upstream()
    up.add_program(b"a")
    taken(up)
    up.credit(Credit(1 << 20, 1000, consumed_offset=1))
    up.add_program(b"b")
    assert up.wait_s(NOW) == 0


def test_a_new_epoch_voids_what_the_program_wrote_before() -> None:
    up = upstream(Credit(0, 0, 0))
    up.add_program(b"G1 X10\n")
    up.port_changed(epoch=4, profile=RAW)
    up.credit(PLENTY)
    assert taken(up) == []
    up.add_program(b"new\n")
    assert taken(up) == [SendCommand(1, 0, b"new\n", epoch=4)]


def test_bytes_sent_and_not_consumed_are_in_doubt() -> None:
    up = upstream()
    up.add_program(b"123456\n")
    taken(up)
    up.credit(Credit(1 << 20, 1000, consumed_offset=3))
    assert up.unconsumed_bytes == 4


@given(
    st.lists(st.binary(min_size=1, max_size=600), max_size=30),
    st.lists(st.integers(1, 400), min_size=1, max_size=200),
)
def test_whatever_the_credit_every_byte_goes_once_and_in_order(
    writes: list[bytes], grants: list[int]
) -> None:
    up = upstream(Credit(0, 0, 0))
    for data in writes:
        up.add_program(data)
    sent = bytearray()
    limit = 0
    for number, grant in enumerate([*grants, 1 << 20], start=1):
        limit += grant
        up.credit(Credit(limit, number * 100, consumed_offset=len(sent)))
        for message in taken(up, NOW + number):
            assert isinstance(message, SendCommand)
            assert message.offset == len(sent)
            sent += message.data
            assert len(sent) <= limit
    assert sent == b"".join(writes)


def test_many_realtime_bytes_go_in_messages_that_the_service_takes() -> None:
    up = upstream(grbl=True)
    up.add_program(b"!" * 150)
    assert [len(m.data) for m in taken(up) if isinstance(m, SendRealtime)] == [64, 64, 22]


def test_realtime_bytes_that_cannot_be_sent_make_the_program_wait() -> None:
    up = upstream(grbl=True)
    up.add_program(b"?" * READ_AHEAD_BYTES)
    assert up.room == 0
    taken(up)
    assert up.room == READ_AHEAD_BYTES


def test_only_the_last_of_several_settings_is_sent() -> None:
    up = upstream()
    for baud in (9600, 57600):
        up.add_ordered(Configure(1, LineSettings(baud=baud)))
    assert taken(up) == [Configure(1, LineSettings(baud=57600))]


def test_after_a_loss_the_rest_of_a_cut_line_is_void() -> None:
    up = upstream(grbl=True)
    up.add_program(b"G1 X10\nG1 X3")
    taken(up)
    assert up.lose() == 12
    up.begin(epoch=3, profile=GRBL)
    up.credit(PLENTY)
    up.add_program(b"0 Y40 S900\nG1 X5\n")
    assert taken(up) == [SendCommand(1, 0, b"G1 X5\n", epoch=3)]


def test_a_session_of_another_epoch_voids_what_waits() -> None:
    up = upstream(Credit(0, 0, 0))
    up.add_program(b"G1 X10\n")
    up.begin(epoch=4, profile=RAW)
    up.credit(PLENTY)
    assert taken(up) == []
    assert up.voided_bytes == 7


def resume(up: Upstream, offset: int, commands: int = 1, *, epoch: int = 3) -> int:
    up.lose_link()
    return up.resume(offset, commands, epoch=epoch, profile=up._profile)


def test_what_a_lost_session_did_not_get_goes_again_before_what_waits() -> None:
    up = upstream(Credit(12, 10, 0))
    up.add_program(b"G0 X1\nG0 X2\nG0 X3\n")
    taken(up)
    assert resume(up, 6) == 6
    up.credit(PLENTY)
    assert taken(up) == [
        SendCommand(2, 6, b"G0 X2\n", epoch=3),
        SendCommand(3, 12, b"G0 X3\n", epoch=3),
    ]


def test_what_waits_is_reported_before_any_of_it_goes() -> None:
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


def test_what_was_consumed_is_not_kept() -> None:
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


def test_realtime_bytes_that_waited_are_never_sent_late() -> None:
    up = upstream(grbl=True)
    up.add_program(b"?!~")
    up.lose_link()
    up.add_program(b"G0 X1~\n?\x84")
    assert up.resume(0, 0, epoch=3, profile=GRBL) == 0
    assert taken(up) == [SendCommand(1, 0, b"G0 X1\n", epoch=3)]
    assert up.dropped_realtime_bytes == 6
    assert up.room == READ_AHEAD_BYTES


def test_bytes_that_have_become_realtime_ones_are_not_sent_late() -> None:
    up = upstream()
    up.add_program(b"G0 X1~\n")
    taken(up)
    up.lose_link()
    assert up.resume(0, 0, epoch=3, profile=GRBL) == 6
    assert taken(up) == [SendCommand(1, 0, b"G0 X1\n", epoch=3)]
    assert up.dropped_realtime_bytes == 1


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


@pytest.mark.parametrize("is_down", [False, True])
def test_a_reset_byte_voids_what_would_go_again_and_what_the_service_has(is_down: bool) -> None:
    up = upstream(grbl=True)
    up.add_program(b"G1 X10\nG1 X20\n")
    taken(up)
    if is_down:
        up.lose_link()
    up.add_program(b"\x18")
    taken(up)
    assert resume(up, 7) == 0
    up.add_program(b"$X\n")
    flush, sent = taken(up)
    assert flush == Flush(0, received=False, written=True)
    assert sent == SendCommand(2, 7, b"$X\n", 3, after_reset=1)
    assert resume(up, 10, 2) == 0, "the service has had the flush: it has what came after it"
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


def test_stops_that_wait_keep_the_epoch_in_which_they_were_written() -> None:
    up = upstream(grbl=True)
    up.add_program(b"\x18")
    up.port_changed(epoch=4, profile=GRBL)
    up.add_program(b"!")
    stops = up.take_emergency()
    assert stops is not None
    assert stops.stops == (SendRealtime(b"\x18", 3, 1), SendRealtime(b"!", 4, 2))
    up.emergency_done()
    up.add_program(b"!")
    up.port_changed(epoch=5, profile=GRBL)
    up.lose_link()
    stops = up.take_emergency()
    assert stops is not None
    assert stops.stops == (SendRealtime(b"\x18", 3, 1), SendRealtime(b"!!", 4, 2))


def test_requests_that_waited_are_kept_and_signs_of_life_are_not() -> None:
    up = upstream()
    lines = SetLines(1, dtr=True, rts=None)
    for message in (Heartbeat(1, 0.0), Acknowledge(), lines):
        up.add_urgent(message)
    resume(up, 0, 0)
    assert taken(up) == [lines]


def test_emergency_bytes_that_wait_can_be_taken_and_hold_the_program_back() -> None:
    up = upstream(grbl=True)
    up.add_urgent(Heartbeat(1, 0.0))
    up.add_program(b"G1 X10\n?!~\x84")
    stops = up.take_emergency()
    assert stops is not None
    assert stops.first == (SendRealtime(b"?!~\x84", 3, 1),)
    assert stops.stops == (SendRealtime(b"!", 3, 2), SendRealtime(b"\x84", 3, 4))
    assert (stops.last_number, stops.resets) == (4, False)
    assert taken(up) == [Heartbeat(1, 0.0)]
    assert up.pass_through(b"G1 X20\n", NOW) is None
    up.emergency_done()
    assert taken(up) == [SendCommand(1, 0, b"G1 X10\n", epoch=3)]
    assert up.take_emergency() is None
    assert up.dropped_realtime_bytes == 0


def test_urgent_lines_are_taken_whole_while_the_link_is_down() -> None:
    up = upstream()
    up.port_changed(epoch=3, profile=MARLIN)
    up.lose_link()
    up.add_program(b"G1 X10\nM108\nM410\nM112\n")
    stops = up.take_emergency()
    assert stops is not None
    assert stops.data == b"M410\nM112\n"
    assert stops.resets


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
def test_what_is_kept_is_bounded_by_the_credit(bytes_at_a_time: int) -> None:
    up, far = upstream(Credit(300, 300, 0)), Far()
    for number in range(2000):
        up.add_ordered(Configure(number, LineSettings()))
        up.add_program(b"x" * bytes_at_a_time)
        far.send(taken(up, NOW + number))
        far.arrive(1000)
        up.credit(far.consume(1000))
        assert len(up._in_flight) <= 2 * 300 + 1


def test_no_more_is_sent_than_the_network_has_room_for() -> None:
    up = upstream()
    up.window.limit_bytes = 100
    up.add_program(b"x" * 300)
    assert sum(len(m.data) for m in taken(up) if isinstance(m, SendCommand)) == 100
    assert up.pass_through(b"y\n", NOW) is None
    up.credit(PLENTY._replace(consumed_offset=60))
    assert sum(len(m.data) for m in taken(up) if isinstance(m, SendCommand)) == 60


def test_what_only_the_network_keeps_back_asks_for_an_answer_once() -> None:
    up = upstream()
    up.window.limit_bytes = 100
    up.add_program(b"x" * 300)
    taken(up)
    assert up.wants_answer()
    assert not up.wants_answer()
    up.window.answered(0.1, 0.1, 100)
    up.window.limit_bytes = 100
    assert up.wants_answer()


def test_what_waits_for_credit_asks_for_nothing() -> None:
    up = upstream(Credit(5, 10, 0))
    up.add_program(b"1234567")
    taken(up)
    assert not up.wants_answer()


class Back:
    """An upstream whose link was away while its program wrote more than is read ahead."""

    def __init__(self) -> None:
        self.now = 50.0
        self.consumed = 0
        self.up = Upstream(lambda: self.now)
        self.up.begin(epoch=3, profile=GRBL)
        self.up.credit(PLENTY)
        self.up.lose_link()
        self.up.add_program(b"G1 X1\n" * (READ_AHEAD_BYTES // 6) + b"G1 X")
        assert self.up.room == 0
        self.up.resume(0, 0, epoch=3, profile=GRBL, age_s=4.0)

    def reads(self, data: bytes) -> list[Message]:
        """Read more; return what then goes beside the program."""
        self.up.add_program(data)
        return [each for each in self.taken() if not isinstance(each, SendCommand)]

    def taken(self) -> list[Message]:
        """Return what goes while the service takes everything at once."""
        gone: list[Message] = []
        while more := all_taken(self.up):
            gone += more
            self.consumed += self.up.unconsumed_bytes
            self.up.credit(PLENTY._replace(consumed_offset=self.consumed))
        return gone


def test_a_resume_of_the_time_away_is_not_sent_however_late_it_is_read() -> None:
    back = Back()
    back.taken()
    assert back.reads(b"2\n~" + b" " * (READ_AHEAD_BYTES - 3)) == []
    back.now += 1.0
    assert back.reads(b"~\n" + b" " * 100) == [], "more may have lain behind that"
    assert back.reads(b"~\n") == [], "it was read at once after that"
    assert back.reads(b"!") == [SendRealtime(b"!", 3, 4)], "a stop always is"
    back.now += 0.05
    assert back.reads(b"~") == []
    back.now += 0.2
    assert back.reads(b"~") == [SendRealtime(b"~", 3, 6)], "this one is of now"
    assert back.up.dropped_realtime_bytes == 4


def test_a_resume_after_everything_was_read_is_of_now() -> None:
    up = upstream(grbl=True)
    up.lose_link()
    up.add_program(b"G1 X1\n~")
    up.resume(0, 0, epoch=3, profile=GRBL)
    up.add_program(b"~")
    assert SendRealtime(b"~", 3, 2) in taken(up)
    assert up.dropped_realtime_bytes == 1


def test_what_follows_a_reset_while_the_link_was_down_is_reported_as_waiting() -> None:
    back = Back()
    back.taken()
    told = back.reads(b"2\n\x18$X\nG1 X3\n")
    assert told == [SendRealtime(b"\x18", 3, 1), Waiting(9, 4.0)]
    back.now += 1.0
    assert back.reads(b"\x18G1 X4\n") == [SendRealtime(b"\x18", 3, 2)], "a new job, of now"


def test_what_follows_a_late_reset_on_another_path_is_reported_as_waiting() -> None:
    up = upstream(grbl=True)
    up.lose_link()
    up.add_program(b"\x18G1 X3\n")
    assert up.take_emergency() is not None
    up.resume(0, 0, epoch=3, profile=GRBL)
    assert [type(each) for each in all_taken(up)] == [Flush, Waiting], "the program waits for it"
    up.emergency_done(1)
    waiting, command = all_taken(up)
    assert isinstance(waiting, Waiting)
    assert waiting.size == 6
    assert isinstance(command, SendCommand)


def test_a_reset_of_the_time_away_may_go_another_way_after_the_link_is_back() -> None:
    back = Back()
    back.taken()
    back.up.add_program(b"2\n\x18G1 X3\n")
    assert back.up.take_emergency() is not None
    back.taken()
    back.up.emergency_done(1)
    waiting, command = back.taken()
    assert isinstance(waiting, Waiting)
    assert isinstance(command, SendCommand)
