"""What is said of the parts of a round trip."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from fakes.json_schema import mistakes
from fakes.remote import REMOTE
from usbshare.base.time_stats import TimeSummary
from usbshare.client.latency.budget import budget
from usbshare.client.latency.fields import objects
from usbshare.client.latency.records import HostLatency, PartKind, PortLatency
from usbshare.client.latency.text import page
from usbshare.client.serial.host_times import HostTimes, PortTimes
from usbshare.line.client_times import ClientTimes
from usbshare.line.profiles import GRBL
from usbshare.line.settings import LineSettings


def times(p95_ms: float = 1.0, p50_ms: float = 1.0, count: int = 100) -> TimeSummary:
    p50_s, p95_s = p50_ms / 1e3, p95_ms / 1e3
    return TimeSummary(count, 0.0, p50_s, p95_s, p50_s, p95_s, p95_s, count)


FINE = times()
PORT = replace(REMOTE, id="laser", state="open", profile=GRBL, settings=LineSettings(baud=115200))
CLIENT = ClientTimes(FINE, FINE, FINE)
PORT_TIMES = PortTimes("laser", FINE, FINE, FINE, FINE, FINE, CLIENT)
HOST = HostTimes((PORT_TIMES,), FINE)


def warned(latency: PortLatency) -> dict[PartKind, str]:
    return {part.kind: part.warning for part in latency.parts if part.warning}


def test_all_six_parts_come_in_their_order_and_nothing_is_wrong() -> None:
    found = budget(PORT, PORT_TIMES, HOST, None)
    assert [part.kind for part in found.parts] == list(PartKind)
    assert found.warnings == ()
    assert all(part.times == FINE for part in found.parts)


def holder(**changed: TimeSummary) -> PortTimes:
    return replace(PORT_TIMES, holder=replace(CLIENT, **changed))


@pytest.mark.parametrize(
    ("kind", "measured", "says"),
    [
        (PartKind.PROGRAM, holder(wake=times(80)), "overloaded: the bridge ran up to 80 ms late"),
        (PartKind.BRIDGE, holder(queue=times(1500)), "wait up to 1500 ms in the bridge"),
        (PartKind.NETWORK, holder(network=times(90, 5)), "varies"),
        (PartKind.NETWORK, holder(network=times(45, 40)), "a round trip takes 40 ms"),
        (PartKind.HOST, replace(PORT_TIMES, send=times(200)), "answers wait up to 200 ms"),
        (PartKind.PORT, replace(PORT_TIMES, write=times(300)), "accepts bytes irregularly"),
        (PartKind.FIRMWARE, replace(PORT_TIMES, answer=times(70)), "up to 70 ms to answer `?`"),
    ],
)
def test_a_part_out_of_its_range_is_reported_with_what_to_do(
    kind: PartKind, measured: PortTimes, says: str
) -> None:
    found = warned(budget(PORT, measured, HOST, None))
    assert list(found) == [kind]
    assert says in found[kind]


def test_an_overloaded_host_is_reported_and_the_network_is_not_blamed() -> None:
    host = HostTimes((), times(120))
    found = warned(budget(PORT, holder(network=times(150, 1)), host, None))
    assert list(found) == [PartKind.HOST]
    assert "the host is overloaded: its service ran up to 120 ms late" in found[PartKind.HOST]


def test_an_adapters_timer_is_reported_with_the_command_that_sets_it() -> None:
    port = replace(PORT, low_latency=False, device="/dev/ttyUSB3")
    slow = replace(PORT_TIMES, answer=times(70))
    found = warned(budget(port, slow, HOST, None))
    assert list(found) == [PartKind.PORT]  # it is the cause of the slow answer
    assert "latency timer is 16 ms" in found[PartKind.PORT]
    assert "/sys/class/tty/ttyUSB3/device/latency_timer" in found[PartKind.PORT]


def test_a_slow_line_is_reported_where_g_code_goes_over_it() -> None:
    slow = replace(PORT, settings=LineSettings(baud=9600))
    assert "at 9600 baud" in warned(budget(slow, PORT_TIMES, HOST, None))[PartKind.PORT]
    closed = replace(slow, state="closed")
    assert warned(budget(closed, PORT_TIMES, HOST, None)) == {}


def test_little_that_was_measured_is_no_reason_to_warn() -> None:
    few = times(500, count=19)
    measured = PortTimes("laser", few, few, few, few, few, ClientTimes(few, few, few))
    assert budget(PORT, measured, HostTimes((), few), few).warnings == ()


def test_where_nobody_has_control_the_network_is_as_seen_from_here() -> None:
    measured = replace(PORT_TIMES, holder=None)
    found = {part.kind: part for part in budget(PORT, measured, HOST, times(7)).parts}
    network = found[PartKind.NETWORK]
    assert (network.by, network.times) == ("this computer", times(7))
    assert found[PartKind.PROGRAM].times is found[PartKind.BRIDGE].times is None


def test_an_older_service_reports_nothing_and_nothing_is_made_up() -> None:
    found = budget(PORT, None, HostTimes((), None), None)
    assert [part.times for part in found.parts] == [None] * len(PartKind)
    assert found.warnings == ()


def test_the_page_has_a_line_a_part_and_the_warnings_below() -> None:
    found = budget(PORT, holder(network=times(90, 5)), HOST, None)
    text = page(
        [HostLatency("bench", "bench:50051", (found,)), HostLatency("b", "b:1", failure="x")]
    )
    lines = text.splitlines()
    assert lines[0] == "bench (bench:50051)"
    assert lines[1].startswith("  laser (grbl)")
    assert "    network, there and back         5.0     90.0     90.0     90.0" in lines
    assert any(line.startswith("    ! the network's delay varies") for line in lines)
    assert lines[-1] == "b (b:1): x"
    assert all(len(line) <= 100 for line in lines)


def test_json_has_numbers_only_of_what_was_measured() -> None:
    measured = replace(PORT_TIMES, answer=TimeSummary(), holder=None)
    (found,) = objects(HostLatency("b", "b:1", (budget(PORT, measured, HOST, None),)))
    parts = {part["part"]: part for part in found["parts"]}
    assert parts["firmware"]["times"] is parts["network"]["times"] is None
    assert parts["port"]["times"] == {"p50_ms": 1.0, "p95_ms": 1.0, "p99_ms": 1.0, "max_ms": 1.0}
    assert list(objects(HostLatency("b", "b:1", failure="x"))) == [
        {"host": "b", "target": "b:1", "silent_since": None, "error": "x"}
    ]


def test_a_host_that_is_silent_is_shown_as_it_was() -> None:
    host = HostLatency("b", "b:1", silent_since=datetime(2026, 5, 1, 12, tzinfo=UTC))
    since = "2026-05-01 12:00:00 UTC"
    assert page([host]).startswith(f"b (b:1): nothing heard since {since}; as it was then:")
    gone = replace(host, failure="gone")
    assert page([gone]) == f"b (b:1): gone; last heard {since}"
    (line,) = objects(gone)
    assert line["silent_since"] == "2026-05-01T12:00:00+00:00"
    assert mistakes(line, "status_latency_line") == []
