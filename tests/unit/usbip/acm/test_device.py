"""Requests that no driver of a serial port makes, or that a device must refuse."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usbshare.usbip.acm.descriptors import PortNames
from usbshare.usbip.acm.device import AcmDevice
from usbshare.usbip.cdc import ControlLines, LineCoding, SerialState, take_serial_states
from usbshare.usbip.descriptors import Kind, Request
from usbshare.usbip.errors import STALLED
from usbshare.usbip.messages import Direction, SetupPacket, Submit, SubmitReply

NAMES = PortNames("usbshare", "laser at host", "123")
NOTICES, READS = 2, 1


class Owner:
    """Takes everything, and says what it was told."""

    def __init__(self) -> None:
        self.said: list[object] = []
        self.replies: list[SubmitReply] = []
        self.device = AcmDevice(NAMES, self, 4096, self.replies.append)

    def acm_opened(self) -> None:
        self.said.append("opened")

    def acm_closed(self) -> None:
        self.said.append("closed")

    def acm_coding(self, coding: LineCoding) -> None:
        self.said.append(coding)

    def acm_lines(self, lines: ControlLines) -> None:
        self.said.append(lines)

    def acm_break(self, duration_ms: int, answered: Callable[[bool], None]) -> None:
        answered(duration_ms > 0)

    def acm_wrote(self, data: bytes) -> None:
        self.said.append(data)

    def acm_flushed(self) -> None:
        self.said.append("flushed")

    def acm_readable(self) -> None:
        self.said.append("readable")

    def ask(self, setup: SetupPacket, data: bytes = b"") -> SubmitReply:
        direction = Direction.IN if setup.is_in else Direction.OUT
        number = len(self.replies) + 1
        self.device.submit(Submit(number, 1, direction, 0, setup.length, data, setup.encode()))
        (reply,) = (each for each in self.replies if each.seqnum == number)
        return reply

    def wait_for(self, endpoint: int, seqnum: int, length: int = 16) -> None:
        self.device.submit(Submit(seqnum, 1, Direction.IN, endpoint, length))


@pytest.fixture
def owner() -> Owner:
    return Owner()


@pytest.mark.parametrize(
    "setup",
    [
        SetupPacket(0x80, Request.GET_DESCRIPTOR, Kind.QUALIFIER << 8, 0, 10),
        SetupPacket(0x80, Request.GET_DESCRIPTOR, Kind.STRING << 8 | 4, 0x409, 255),
        SetupPacket(0x80, Request.GET_DESCRIPTOR, Kind.CONFIGURATION << 8 | 1, 0, 9),
        SetupPacket(0x00, Request.SET_CONFIGURATION, 2),
        SetupPacket(0x01, Request.SET_INTERFACE, 1, 1),
        SetupPacket(0x00, Request.SET_FEATURE, 1),
        SetupPacket(0x21, 0x02),
        SetupPacket(0xC0, 0x20, 0, 0, 4),
    ],
)
def test_an_unknown_request_is_refused(owner: Owner, setup: SetupPacket) -> None:
    assert owner.ask(setup).status == STALLED


@given(st.binary(min_size=8, max_size=8), st.binary(max_size=64))
def test_no_request_is_left_without_one_answer(setup: bytes, data: bytes) -> None:
    owner = Owner()
    direction = Direction.IN if setup[0] & 0x80 else Direction.OUT
    owner.device.submit(Submit(1, 1, direction, 0, len(data), data, setup))
    (reply,) = owner.replies
    assert reply.actual_length <= len(data)
    assert len(reply.data) == (reply.actual_length if direction is Direction.IN else 0)


@pytest.mark.parametrize("endpoint", [3, 15])
def test_an_endpoint_that_is_not_there_is_refused(owner: Owner, endpoint: int) -> None:
    owner.wait_for(endpoint, 1)
    assert owner.replies == [SubmitReply(1, STALLED)]


def test_an_answer_is_never_longer_than_what_is_asked_for(owner: Owner) -> None:
    reply = owner.ask(SetupPacket(0x80, Request.GET_DESCRIPTOR, Kind.DEVICE << 8, 0, 8))
    assert (reply.actual_length, len(reply.data)) == (8, 8)


def test_an_event_is_reported_once_and_then_its_end(owner: Owner) -> None:
    owner.device.show(SerialState.DCD)
    owner.device.happened(SerialState.BREAK | SerialState.OVERRUN)
    owner.wait_for(NOTICES, 1)
    owner.wait_for(NOTICES, 2)
    owner.wait_for(NOTICES, 3)
    told = bytearray(b"".join(each.data for each in owner.replies))
    assert take_serial_states(told) == [
        SerialState.DCD | SerialState.BREAK | SerialState.OVERRUN,
        SerialState.DCD,
    ]
    assert [each.seqnum for each in owner.replies] == [1, 2]


def test_events_while_nobody_asks_are_reported_later(owner: Owner) -> None:
    owner.device.show(SerialState.DCD)
    owner.device.show(SerialState(0))
    owner.wait_for(NOTICES, 1)
    assert owner.replies == []
    owner.device.show(SerialState.DSR)
    assert len(owner.replies) == 1


def test_a_program_that_closes_is_seen_by_either_of_its_requests(owner: Owner) -> None:
    owner.wait_for(NOTICES, 1)
    owner.wait_for(READS, 2)
    owner.device.take_back(2)
    owner.device.take_back(1)
    assert owner.said == ["opened", "closed"]


def test_an_unplugged_port_has_no_program(owner: Owner) -> None:
    owner.wait_for(NOTICES, 1)
    owner.device.unplugged()
    owner.device.show(SerialState.DCD)
    assert owner.said == ["opened", "closed"]
    assert owner.replies == []
    assert owner.device.give(b"late") == 0
