"""The stop's two messages are those of the generated code, byte for byte."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

import pytest
from google.protobuf.duration_pb2 import Duration
from hypothesis import given
from hypothesis import strategies as st

from usbshare.client.serial.stop_client import ACTION_NUMBERS, STOP, stop_report, stop_request
from usbshare.client.serial.stop_report import SeenHold
from usbshare.line.stop_actions import StopAction
from usbshare.serial.v1 import serial_pb2 as pb

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
LENGTHS = st.builds(Duration, seconds=st.integers(0, 10**9), nanos=st.integers(0, 999_999_999))


NUMBERS = st.integers(0, 2**64 - 1)
SEEN = st.none() | st.builds(SeenHold, NUMBERS, NUMBERS)


@given(port=TEXTS, action=st.sampled_from(StopAction), reason=TEXTS, seen=SEEN)
def test_a_request_is_what_protobuf_writes(
    port: str, action: StopAction, reason: str, seen: SeenHold | None
) -> None:
    number = pb.StopAction.Value(f"STOP_ACTION_{action.name}")
    expected = pb.StopRequest(port_id=port, action=number, reason=reason)
    if seen is not None:
        expected.epoch, expected.hold_number = seen.epoch, seen.number
    request = stop_request(port, action, reason, seen)
    assert request == expected.SerializeToString(deterministic=True)


def test_every_action_and_the_method_are_those_of_the_proto() -> None:
    numbers = {
        f"STOP_ACTION_{action.name}": number for action, number in ACTION_NUMBERS.items()
    } | {"STOP_ACTION_UNSPECIFIED": 0}
    assert numbers == dict(pb.StopAction.items())
    service = pb.DESCRIPTOR.services_by_name["SerialService"]
    assert f"/{service.full_name}/{service.methods_by_name['Stop'].name}" == STOP


@given(
    epoch=st.integers(0, 2**63 - 1),
    latched=st.booleans(),
    sent=st.binary(max_size=40),
    fenced=st.integers(0, 2**32 - 1),
    seconds=st.integers(0, 10**10),
    written=LENGTHS,
    drained=st.none() | LENGTHS,
    later=st.binary(max_size=20),
    held=st.integers(0, 2**63 - 1),
)
def test_a_report_is_read_as_protobuf_reads_it(
    epoch: int,
    latched: bool,
    sent: bytes,
    fenced: int,
    seconds: int,
    written: Duration,
    drained: Duration | None,
    later: bytes,
    held: int,
) -> None:
    reply = pb.StopResponse(
        epoch=epoch,
        latched=latched,
        sent=sent,
        fenced_commands=fenced,
        write_delay=written,
        drain_delay=drained,
        hold_number=held,
    )
    reply.receive_time.seconds = seconds
    # A newer service may say more: a length-delimited field 1000, an I64 1001, an I32 1002.
    unknown = (
        b"\xc2\x3e" + bytes([len(later)]) + later + b"\xc9\x3e" + bytes(8) + b"\xd5\x3e" + bytes(4)
    )
    found = stop_report(reply.SerializeToString() + unknown, 0.5)
    assert (found.epoch, found.latched, found.sent) == (epoch, latched, sent)
    assert (found.fenced_commands, found.hold_number) == (fenced, held)
    assert found.receive_time == datetime.fromtimestamp(seconds, UTC)
    assert found.write_delay_s == pytest.approx(written.seconds + written.nanos * 1e-9)
    assert (found.drain_delay_s is None) is (drained is None)
    assert found.round_trip_s == 0.5


@given(st.binary(max_size=60))
def test_invalid_bytes_are_an_error_and_nothing_else(message: bytes) -> None:
    with suppress(ValueError, OverflowError):
        assert stop_report(message, 0.0).round_trip_s == 0.0
