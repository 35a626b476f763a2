"""What one identity does all the time does not push out of the log what others did."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fakes.clock import FakeClock
from fakes.waiting import until
from usbshare.audit import log as log_module
from usbshare.audit.files import LogFiles, snapshot
from usbshare.audit.log import AuditLog
from usbshare.audit.throttle import (
    DAY_S,
    MOST_A_WINDOW,
    MOST_REMEMBERED,
    OVER_SHARE_WINDOW_S,
    WINDOW_S,
    AuditThrottle,
    Entry,
)

ANN, BOB = "usbshare://s/ann", "usbshare://s/bob"


def entries(folder: Path) -> list[dict[str, Any]]:
    with snapshot(LogFiles(folder, "serial-svc")) as held:
        return [json.loads(line) for file in held.files for line in file.lines()]


def count(lines: list[dict[str, Any]]) -> int:
    return sum(int(line.get("merged", 1)) for line in lines)


def entry(event: str, who: str, **fields: object) -> Entry:
    return {"time": "2026", "event": event, "who": who, "address": "192.0.2.7:1", **fields}


@pytest.mark.parametrize("event", ["stop", "connected", "session opened", "refused", "re-armed"])
def test_of_equal_events_so_many_a_minute_are_written_and_a_line_counts_the_rest(
    tmp_path: Path, event: str
) -> None:
    clock = FakeClock()
    with AuditLog(tmp_path, "serial-svc", clock=clock) as audit:
        for _ in range(MOST_A_WINDOW + 7):
            audit.note(event, who=BOB, port="laser")
        clock.advance(WINDOW_S)
        audit.note(event, who=BOB, port="laser")
    lines = entries(tmp_path)
    assert [line.get("merged") for line in lines] == [*[None] * MOST_A_WINDOW, 7, None]
    assert lines[MOST_A_WINDOW]["who"] == BOB
    assert lines[MOST_A_WINDOW]["since"] <= lines[MOST_A_WINDOW]["time"]


async def test_the_count_comes_though_nothing_else_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_module, "LOOK_S", 0.01)
    clock = FakeClock()
    with AuditLog(tmp_path, "serial-svc", clock=clock) as audit:
        for _ in range(MOST_A_WINDOW + 7):
            audit.note("stop", who=BOB, port="laser", action="hold")
        clock.advance(WINDOW_S)
        await until(lambda: count(entries(tmp_path)) == MOST_A_WINDOW + 7)
    assert entries(tmp_path)[-1]["action"] == "hold"


def test_the_end_of_a_service_reports_what_was_merged(tmp_path: Path) -> None:
    with AuditLog(tmp_path, "serial-svc", clock=FakeClock()) as audit:
        for _ in range(10 * MOST_A_WINDOW):
            audit.note("stop", who=BOB)
    lines = entries(tmp_path)
    assert len(lines) == MOST_A_WINDOW + 1
    assert count(lines) == 10 * MOST_A_WINDOW


def test_others_other_events_and_other_ports_are_written_meanwhile() -> None:
    throttle = AuditThrottle(FakeClock())
    for _ in range(2 * MOST_A_WINDOW):
        throttle.taken(entry("stop", BOB, port="laser", action="hold"))
    for other in (
        entry("stop", ANN, port="laser", action="hold"),
        entry("stop", BOB, port="mill", action="hold"),
        entry("stop", BOB, port="laser", action="emergency_stop"),
        entry("control taken", BOB, port="laser"),
    ):
        assert throttle.taken(other) == [other]


def test_events_of_the_host_itself_are_never_merged() -> None:
    throttle = AuditThrottle(FakeClock())
    own: Entry = {"time": "2026", "event": "device lost", "who": "", "address": "", "port": "laser"}
    assert all(throttle.taken(own) == [own] for _ in range(10 * MOST_A_WINDOW))


@pytest.mark.parametrize("event", ["invited", "invitation withdrawn", "revoked"])
def test_a_change_of_access_is_never_merged_and_takes_nothing_of_the_share(
    event: str,
) -> None:
    throttle = AuditThrottle(FakeClock(), bytes_a_day=20_000)
    changes = [entry(event, BOB, identity=f"usbshare://s/pc{n}") for n in range(1000)]
    assert all(throttle.taken(change) == [change] for change in changes)
    stops = [entry("stop", BOB, port="laser", n=n) for n in range(MOST_A_WINDOW)]
    assert [throttle.taken(stop) for stop in stops] == [[stop] for stop in stops]


@pytest.mark.parametrize("event", ["invited", "invitation withdrawn", "revoked"])
def test_a_change_of_access_is_written_though_the_share_is_used_up(event: str) -> None:
    throttle = AuditThrottle(FakeClock(), bytes_a_day=20_000)
    for number in range(1000):
        throttle.taken(entry("refused", BOB, method=f"m{number}", why="x" * 100))
    changes = [entry(event, BOB, identity=f"usbshare://s/pc{n}") for n in range(3)]
    assert all(throttle.taken(change) == [change] for change in changes)


def test_a_caller_without_a_certificate_gains_nothing_by_other_addresses() -> None:
    throttle = AuditThrottle(FakeClock())
    written = 0
    for number in range(10 * MOST_A_WINDOW):
        refused = entry("enrolment refused", "") | {"address": f"192.0.2.{number}"}
        written += len(throttle.taken(refused))
    assert written == MOST_A_WINDOW


def test_an_identity_writes_no_more_a_day_than_its_share_and_something_of_each_kind() -> None:
    clock, lines, told = FakeClock(), 0, 0
    throttle = AuditThrottle(clock, bytes_a_day=20_000)
    written = 0
    for number in range(int(DAY_S / 5)):
        out = throttle.taken(entry("stop", BOB, port="laser", n="x" * 100, number=number))
        written += sum(len(json.dumps(line)) for line in out)
        lines += len(out)
        told += sum(int(str(line.get("merged", 1))) for line in out)
        clock.advance(5)
    # Its share at first, what it earns on the way, and a line or two each ten minutes.
    assert written < 2 * 20_000 + 2 * 400 * DAY_S / OVER_SHARE_WINDOW_S
    assert told + count(throttle.due(everything=True)) == int(DAY_S / 5)
    other = entry("control taken", BOB, port="laser")
    assert throttle.taken(other) == [other]


def test_ports_that_a_caller_makes_up_do_not_make_its_refusals_differ() -> None:
    throttle = AuditThrottle(FakeClock())
    written = [
        line
        for number in range(10 * MOST_A_WINDOW)
        for line in throttle.taken(entry("refused", BOB, port=f"p{number}", method="GetPort"))
    ]
    assert len(written) == MOST_A_WINDOW


def test_only_so_many_windows_are_remembered_and_none_loses_its_count() -> None:
    throttle = AuditThrottle(FakeClock())
    for _ in range(MOST_A_WINDOW + 3):
        throttle.taken(entry("connected", BOB))
    told = 0
    for number in range(MOST_REMEMBERED):
        for line in throttle.taken(entry("connected", str(number))):
            told += int(str(line.get("merged", 0)))
    assert told == 3
