"""Which connections the audit log is told of."""

from __future__ import annotations

from fakes.clock import FakeClock
from fakes.noted import Noted
from usbshare.audit.throttle import MOST_A_WINDOW, AuditThrottle
from usbshare.authorization.connections import MOST_REMEMBERED, Arrivals

HOST, PC = "usbshare://a/host", "usbshare://a/pc"


class Sightings:
    def __init__(self) -> None:
        self.noted: list[tuple[str, str]] = []

    def note(self, uri: str, address: str, fingerprint: str = "") -> None:
        self.noted.append((uri, address))


def test_a_connection_is_reported_once_however_much_is_asked_over_it() -> None:
    audit, seen = Noted(), Sightings()
    arrivals = Arrivals(audit, HOST, seen)
    for _ in range(3):
        arrivals.note(PC, "192.0.2.1:1000")
    arrivals.note(PC, "192.0.2.1:1001")
    told = [(each["event"], each["who"], each["address"]) for each in audit.entries]
    assert told == [("connected", PC, "192.0.2.1:1000"), ("connected", PC, "192.0.2.1:1001")]
    assert len(seen.noted) == 4


def test_the_hosts_own_services_are_not_reported() -> None:
    audit, seen = Noted(), Sightings()
    Arrivals(audit, HOST, seen).note(HOST, "127.0.0.1:1")
    assert audit.entries == []
    assert seen.noted == [(HOST, "127.0.0.1:1")]


def test_only_so_many_are_remembered_and_those_in_use_stay() -> None:
    audit = Noted()
    arrivals = Arrivals(audit, HOST, Sightings())
    arrivals.note(PC, "in use")
    for number in range(2 * MOST_REMEMBERED):
        arrivals.note(PC, str(number))
        arrivals.note(PC, "in use")
    assert [each["address"] for each in audit.entries].count("in use") == 1
    arrivals.note(PC, "0")
    assert [each["address"] for each in audit.entries].count("0") == 2


def test_a_client_that_reconnects_constantly_does_not_fill_the_log() -> None:
    audit, throttle = Noted(), AuditThrottle(FakeClock())
    arrivals = Arrivals(audit, HOST, Sightings())
    for number in range(100):
        arrivals.note(PC, f"192.0.2.1:{number}")
    written = [line for each in audit.entries for line in throttle.taken({"time": "", **each})]
    assert len(audit.entries) == 100
    assert len(written) == MOST_A_WINDOW
