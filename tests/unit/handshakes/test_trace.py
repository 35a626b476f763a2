"""Reading gRPC's handshake trace among all else that is written to stderr."""

from __future__ import annotations

import pytest

from usbshare.handshakes.trace import Failure, Foreign, Found, Remark, TraceReader

ARGS = (
    b"args={endpoint=0x7f0ccc001b90, args={grpc.internal.endpoint_local_address=ipv4:127.0.0.1:"
    b"44989, grpc.internal.endpoint_peer_address=PEER, grpc.internal.security_connector=0x5, "
    b"grpc.internal.server_credentials=0x5}, read_buffer.Length()=0, exit_early=0}"
)
WHY = b"UNKNOWN: Ssl handshake failed (TSI_PROTOCOL_FAILURE): SSL_ERROR_SSL: bad: OK"
HEAD = b"I0131 10:00:00.175386   30264 "


def failed(peer: bytes, why: bytes = WHY, args: bytes = ARGS) -> bytes:
    return (
        HEAD + b"handshaker.cc:155] CallNextHandshakerLocked: error=" + why + b"\n"
        b"=== Source Location Trace: ===\nsrc/core/util/status_helper.cc:68\n"
        b" shutdown=false index=2, "
        + args.replace(b"PEER", peer)
        + b"\n"
        + HEAD
        + b"channel_trace.h:396] handshake manager 0x7f: Failed with error: "
        + why
        + b"\n"
        b"=== Source Location Trace: ===\nsrc/core/util/status_helper.cc:68\n\n"
    )


def read(text: bytes) -> list[Found]:
    reader = TraceReader()
    found = (reader.read(line) for line in text.splitlines(keepends=True))
    return [each for each in found if each is not None]


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        (b"ipv4:192.0.2.7:50676", "192.0.2.7:50676"),
        (b"ipv6:%5Bfd00::7%5D:50676", "[fd00::7]:50676"),
        (b"ipv6:[fd00::7]:50676", "[fd00::7]:50676"),
    ],
)
def test_a_failure_is_reported_once_with_peer_and_reason(peer: bytes, address: str) -> None:
    assert read(failed(peer)) == [Failure(address, WHY.decode())]


def test_a_failure_in_one_line_is_read_too() -> None:
    line = failed(b"ipv4:192.0.2.7:1").replace(b"\n=== Source Location Trace: ===\n", b"")
    line = line.replace(b"src/core/util/status_helper.cc:68\n", b"")
    assert read(line)[0] == Failure("192.0.2.7:1", WHY.decode())


def test_handshakes_that_succeed_say_nothing() -> None:
    ok = failed(b"ipv4:192.0.2.7:1", b"OK")
    assert read(ok.replace(b"=== Source Location Trace: ===\n", b"")) == []


def test_our_own_calls_to_others_are_not_reported() -> None:
    as_client = ARGS.replace(b"grpc.internal.server_credentials=0x5", b"grpc.server_uri=x")
    assert read(failed(b"ipv4:192.0.2.7:1", args=as_client)) == []


def test_failures_of_two_peers_keep_their_reasons() -> None:
    text = failed(b"ipv4:192.0.2.7:1", b"UNKNOWN: one") + failed(b"ipv4:192.0.2.8:2", b"UNKNOWN: 2")
    assert read(text) == [
        Failure("192.0.2.7:1", "UNKNOWN: one"),
        Failure("192.0.2.8:2", "UNKNOWN: 2"),
    ]


@pytest.mark.parametrize(
    "line",
    [
        b"Traceback (most recent call last):\n",
        b"\n",
        b"Incident at dawn\n",
        b"I am no log line\n",
        b" shutdown=false index=2, args={\n",
        b"F0131 10:00:00.175386   30264 thing.cc:1] Check failed: x\n",
        b"\xff\xfe\0\n",
    ],
)
def test_other_output_is_left_alone(line: bytes) -> None:
    assert read(line) == [Foreign(line)]


def test_other_output_after_a_record_is_left_alone() -> None:
    assert read(failed(b"ipv4:192.0.2.7:1") + b"mine\n\n")[1:] == [
        Foreign(b"mine\n"),
        Foreign(b"\n"),
    ]


def test_grpcs_other_talk_is_a_remark() -> None:
    line = b"E0131 10:00:00.175386   30264 ssl_utils.cc:490] Handshaker factory failed\n"
    assert read(line) == [Remark("Handshaker factory failed")]


def test_its_greetings_are_dropped() -> None:
    lines = (
        b"W1121 14:41:42.814924   30216 log.cc:102] Log level INFO is not suitable\n"
        b"I1121 14:41:42.815330   30216 trace.cc:91] gRPC Tracers: handshaker\n"
    )
    assert read(lines) == []


def test_a_renegotiation_is_a_failure_of_an_unknown_peer() -> None:
    line = (
        b"E1121 14:46:30.233922    3088 ssl_transport_security_utils.cc:72] error:100000b6:SSL "
        b"routines:OPENSSL_internal:NO_RENEGOTIATION\n"
    )
    assert read(line) == [Failure("", "NO_RENEGOTIATION")]
