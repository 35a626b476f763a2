"""What an administrator gets to read: a line each, a number where there are many."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from fakes.waiting import until
from usbshare.handshakes import reporting
from usbshare.handshakes.reporting import HandshakeTeller, Sorter
from usbshare.handshakes.trace import Failure

ALIEN = "CERTIFICATE_VERIFY_FAILED: unable to get local issuer certificate"
LEFT = "Handshake read failed (Socket closed)"


@dataclass(slots=True)
class Notes:
    """An audit log that remembers."""

    events: list[tuple[str, str, dict[str, object]]] = field(default_factory=list)

    def __call__(self, event: str, *, address: str = "", **fields: object) -> None:
        self.events.append((event, address, fields))


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def teller(notes: Notes, caplog: pytest.LogCaptureFixture) -> Iterator[HandshakeTeller]:
    caplog.set_level(logging.INFO)
    teller = HandshakeTeller(notes, lambda: 0.0)
    yield teller
    teller.close()


def test_an_attempt_is_reported_in_log_and_audit(
    teller: HandshakeTeller, notes: Notes, caplog: pytest.LogCaptureFixture
) -> None:
    teller.failed(Failure("192.0.2.7:4012", ALIEN))
    assert caplog.messages[0].startswith(
        "refused 192.0.2.7:4012: its certificate was issued by another authority than this site's"
    )
    assert notes.events == [("handshake refused", "192.0.2.7:4012", {"reason": "other authority"})]


def test_a_connection_without_a_call_is_not_in_the_audit(
    teller: HandshakeTeller, notes: Notes, caplog: pytest.LogCaptureFixture
) -> None:
    teller.failed(Failure("192.0.2.7:4012", LEFT))
    assert caplog.messages == [
        "lost 192.0.2.7:4012: it disconnected before the handshake was complete"
    ]
    assert notes.events == []


def test_the_services_of_this_host_may_knock_at_one_another(
    teller: HandshakeTeller, caplog: pytest.LogCaptureFixture
) -> None:
    teller.failed(Failure("127.0.0.1:4012", LEFT))
    teller.failed(Failure("[::1]:4012", LEFT))
    assert caplog.messages == []
    teller.failed(Failure("127.0.0.1:4012", ALIEN))
    assert len(caplog.messages) == 1


def test_many_of_one_address_are_one_line_and_a_number(
    notes: Notes, caplog: pytest.LogCaptureFixture
) -> None:
    teller = HandshakeTeller(notes, lambda: 0.0)
    for port in range(1000):
        teller.failed(Failure(f"192.0.2.7:{port}", ALIEN))
    teller.failed(Failure("192.0.2.8:1", ALIEN))
    teller.close()
    assert len(caplog.messages) == 3
    assert caplog.messages[1].startswith("refused 192.0.2.8:1: ")
    assert caplog.messages[2].startswith("refused 192.0.2.7:999: ")
    assert caplog.messages[2].endswith("(999 more like this since the last line)")
    assert notes.events[2][2]["count"] == 999


def test_one_network_of_ipv6_counts_as_one_sender(
    teller: HandshakeTeller, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(1, 50):
        teller.failed(Failure(f"[2001:db8::{number:x}]:4012", ALIEN))
    assert len(caplog.messages) == 1


async def test_the_number_is_chosen_automatically(
    notes: Notes, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporting, "FIRST_PERIOD_S", 0.01)
    time = iter(range(10_000))
    teller = HandshakeTeller(notes, lambda: next(time) / 100)
    for port in range(3):
        teller.failed(Failure(f"192.0.2.7:{port}", ALIEN))
    await until(lambda: len(caplog.messages) >= 2)
    teller.close()


TRACE = (
    b"I0131 10:00:00.1   7 handshaker.cc:155] CallNextHandshakerLocked: error=UNKNOWN: "
    b"HTTP_REQUEST shutdown=false, args={grpc.internal.endpoint_peer_address=ipv4:192.0.2.7:1, "
    b"grpc.internal.server_credentials=0x5}\n"
)


@pytest.mark.parametrize("size", [1, 2, 7, 64, 4096])
def test_chunks_of_any_size_are_sorted_and_nothing_is_lost(
    teller: HandshakeTeller, caplog: pytest.LogCaptureFixture, size: int
) -> None:
    text = b"mine 1\n" + TRACE + b"mine 2\n\nIt is mine\n" + TRACE.replace(b"7:1", b"8:1") + b"rest"
    passed = bytearray()
    sorter = Sorter(teller)
    for start in range(0, len(text), size):
        sorter.read(text[start : start + size], passed.extend)
    sorter.read(b"", passed.extend)
    assert bytes(passed) == b"mine 1\nmine 2\n\nIt is mine\nrest"
    assert len(caplog.messages) == 2


def test_an_unfinished_line_of_others_is_passed_on_at_once(teller: HandshakeTeller) -> None:
    passed = bytearray()
    sorter = Sorter(teller)
    sorter.read(b"name? ", passed.extend)
    assert bytes(passed) == b"name? "
    sorter.read(b"I0131 still the same line\n", passed.extend)
    assert bytes(passed) == b"name? I0131 still the same line\n"
