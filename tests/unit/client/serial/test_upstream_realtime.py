"""Stops, resets and other real-time bytes: in time, in order, by one way or another."""

from __future__ import annotations

import pytest

from fakes.upstream_talk import NOW, PLENTY, all_taken, resume, taken, upstream
from usbshare.client.serial.messages import (
    Flush,
    Heartbeat,
    Message,
    SendCommand,
    SendRealtime,
    Waiting,
)
from usbshare.client.serial.upstream import READ_AHEAD_BYTES, Upstream
from usbshare.line.credit import Credit
from usbshare.line.profiles import GRBL, MARLIN


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


def test_bytes_after_a_reset_while_the_link_was_down_are_reported_as_waiting() -> None:
    back = Back()
    back.taken()
    told = back.reads(b"2\n\x18$X\nG1 X3\n")
    assert told == [SendRealtime(b"\x18", 3, 1), Waiting(9, 4.0)]
    back.now += 1.0
    assert back.reads(b"\x18G1 X4\n") == [SendRealtime(b"\x18", 3, 2)], "a new job, of now"


def test_bytes_after_a_late_reset_on_another_path_are_reported_as_waiting() -> None:
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
