"""What the program wrote and the service has no credit for yet."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fakes.upstream_talk import NOW, PLENTY, taken, upstream
from usbshare.base.gather import GATHER_S
from usbshare.client.serial.messages import (
    Configure,
    Goodbye,
    Heartbeat,
    SendCommand,
)
from usbshare.client.serial.upstream import READ_AHEAD_BYTES
from usbshare.line.credit import Credit
from usbshare.line.profiles import RAW
from usbshare.line.settings import LineSettings


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


@given(
    st.lists(st.binary(min_size=1, max_size=600), max_size=30),
    st.lists(st.integers(1, 400), min_size=1, max_size=200),
)
def test_every_byte_goes_once_and_in_order_with_any_credit(
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


def test_only_the_last_of_several_settings_is_sent() -> None:
    up = upstream()
    for baud in (9600, 57600):
        up.add_ordered(Configure(1, LineSettings(baud=baud)))
    assert taken(up) == [Configure(1, LineSettings(baud=57600))]


def test_a_session_of_another_epoch_voids_what_waits() -> None:
    up = upstream(Credit(0, 0, 0))
    up.add_program(b"G1 X10\n")
    up.begin(epoch=4, profile=RAW)
    up.credit(PLENTY)
    assert taken(up) == []
    assert up.voided_bytes == 7


def test_no_more_is_sent_than_the_network_has_room_for() -> None:
    up = upstream()
    up.window.limit_bytes = 100
    up.add_program(b"x" * 300)
    assert sum(len(m.data) for m in taken(up) if isinstance(m, SendCommand)) == 100
    assert up.pass_through(b"y\n", NOW) is None
    up.credit(PLENTY._replace(consumed_offset=60))
    assert sum(len(m.data) for m in taken(up) if isinstance(m, SendCommand)) == 60


def test_bytes_delayed_only_by_the_network_ask_for_one_answer() -> None:
    up = upstream()
    up.window.limit_bytes = 100
    up.add_program(b"x" * 300)
    taken(up)
    assert up.wants_answer()
    assert not up.wants_answer()
    up.window.answered(0.1, 0.1, 100)
    up.window.limit_bytes = 100
    assert up.wants_answer()


def test_bytes_waiting_for_credit_ask_for_no_answer() -> None:
    up = upstream(Credit(5, 10, 0))
    up.add_program(b"1234567")
    taken(up)
    assert not up.wants_answer()
