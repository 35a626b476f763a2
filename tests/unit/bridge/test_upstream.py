"""What the program wrote and the service has no credit for yet."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from usbshare.bridge.messages import (
    Configure,
    Goodbye,
    Heartbeat,
    Message,
    SendCommand,
    SendRealtime,
)
from usbshare.bridge.upstream import READ_AHEAD_BYTES, Upstream
from usbshare.common.credit import Credit
from usbshare.common.gather import GATHER_S
from usbshare.common.line import LineSettings
from usbshare.common.profiles import GRBL, RAW

NOW = 100.0
PLENTY = Credit(limit_offset=1 << 20, limit_commands=1000, consumed_offset=0)


def upstream(credit: Credit = PLENTY, *, grbl: bool = False) -> Upstream:
    made = Upstream()
    made.begin(epoch=3, profile=GRBL if grbl else RAW)
    made.credit(credit)
    return made


def taken(from_: Upstream, now: float = NOW) -> list[Message]:
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
    assert taken(up) == [SendRealtime(b"!", epoch=3)]


def test_a_reset_byte_drops_what_waits_before_it() -> None:
    up = upstream(Credit(0, 0, 0), grbl=True)
    up.add_program(b"G1 X10\n")
    up.add_program(b"G1 X20\n\x18$X\n")
    assert taken(up) == [SendRealtime(b"\x18", epoch=3)]
    up.credit(PLENTY)
    assert taken(up) == [SendCommand(1, 0, b"$X\n", epoch=3)]


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
