"""What people and programs are told of machines."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from fakes.json_schema import mistakes
from fakes.remote import REMOTE
from fakes.remote_jobs import JOB
from usbshare.client.jobs.messages import JobProgress
from usbshare.client.serial.latency import LatencySummary
from usbshare.client.serial.machine import MachineStatus
from usbshare.client.serial.messages import Hold
from usbshare.client.status.fields import objects
from usbshare.client.status.follow import STATUS
from usbshare.client.status.records import HostStatus, PortStatus
from usbshare.client.status.text import page
from usbshare.line.machine_report import MachineReport, Overrides
from usbshare.line.profiles import GRBL

PORT = replace(REMOTE, profile=GRBL)
REPORT = MachineReport(
    state="Hold",
    substate=0,
    machine_position=(3.0, 2.0, 0.0),
    work_position=(3.0, 7.2, -306.351),
    work_offset=(0.0, -5.2, 306.351),
    feed=675.5,
    spindle=24000.0,
    overrides=Overrides(120, 50, 90),
    free_blocks=15,
    free_bytes=128,
    pins="XP",
    accessories="SF",
    line=99,
    text="<Hold:0|…>",
)
MACHINE = MachineStatus(REPORT, 0.3, 3, 120, "normal")
LINK = LatencySummary(1.2, 1.0, 1.25, 2.3)


def shown(port: PortStatus) -> str:
    return page([HostStatus("laser", "laser:50051", (port,), LINK)])


def test_everything_that_a_machine_reports_is_shown() -> None:
    assert shown(PortStatus(PORT, MACHINE)).splitlines() == [
        "laser:50051, round trip 1.2 ms (min 1.0, mean 1.2, max 2.3)",
        "  laser (grbl): Hold:0",
        "    position    X 3.000  Y 7.200  Z -306.351",
        "    machine     X 3.000  Y 2.000  Z 0.000",
        "    feed        675.5 a minute, spindle or laser 24000",
        "    overrides   feed 120 %, rapids 50 %, spindle 90 %",
        "    free        15 moves, 128 bytes",
        "    inputs      X P",
        "    outputs     S F",
        "    line        99",
        "    queue       3 commands, 120 bytes (normal)",
    ]


def test_values_that_a_machine_does_not_report_are_left_out() -> None:
    bare = MachineStatus(MachineReport(state="Idle"), 0.1, 0, 0, "normal")
    assert shown(PortStatus(PORT, bare)).splitlines()[1:] == ["  laser (grbl): Idle"]


@pytest.mark.parametrize(
    ("age_s", "text"), [(2.0, "Hold:0"), (63.0, "63 s ago"), (600.0, "10 min ago"), (9000.0, "2 h")]
)
def test_an_old_report_says_how_old_it_is(age_s: float, text: str) -> None:
    headline = shown(PortStatus(PORT, replace(MACHINE, report_age_s=age_s))).splitlines()[1]
    assert text in headline
    held = replace(PORT, holder="usbshare://site/anna")
    told = shown(PortStatus(held, replace(MACHINE, report_age_s=age_s)))
    assert ("its program has not asked since" in told) is (age_s > 2.5)


def test_the_hold_the_holder_and_the_way_to_continue_are_shown() -> None:
    hold = Hold("stop", "usbshare://site/bob", datetime.now(UTC), "resume")
    port = replace(PORT, hold=hold, holder="usbshare://site/anna", observers=2)
    text = shown(PortStatus(port, replace(MACHINE, holder_round_trip_s=0.012)))
    assert "held        a stop holds the machine since" in text
    assert "`usbshare-bridge stop --resume` continues" in text
    assert "in control  usbshare://site/anna, round trip 12.0 ms" in text
    assert "observers   2" in text


@pytest.mark.parametrize(
    ("port", "headline"),
    [
        (replace(PORT, state="absent", reason="not plugged in"), "absent: not plugged in"),
        (PORT, "open; the machine reports no state"),
        (replace(PORT, machine_state="Idle"), "Idle"),  # an older service
    ],
)
def test_a_machine_of_which_nothing_is_known(port: object, headline: str) -> None:
    assert shown(PortStatus(port)).splitlines()[1:] == [f"  laser (grbl): {headline}"]  # type: ignore[arg-type]


def test_texts_of_a_host_cannot_act_on_a_terminal() -> None:
    evil = replace(PORT, id="\x1b[2Jlaser", reason="a\nb\x07", state="absent", holder="\x9b31mX")
    text = page([HostStatus("h\x1b]0;x\x07", "h:1", (PortStatus(evil),), failure="")])
    assert not {each for each in text if not each.isprintable()} - {"\n"}
    assert len(text.splitlines()) == 3
    failed = page([HostStatus("h", "h:1", failure="\x1b[2Jgone\nfor ever")])
    assert failed == "h:1: gone for ever"


def test_the_job_that_runs_is_shown_and_how_many_wait() -> None:
    progress = JobProgress(lines=200, executed_lines=90, run=2, remaining_s=190.0)
    running = replace(JOB, state="running", place=0, passes=2, progress=progress)
    status = PortStatus(PORT, MACHINE, (running, JOB, JOB))
    lines = shown(status).splitlines()
    assert "    job         17 box.gcode: running 45 %, 3:10 left, pass 2/2" in lines
    assert "    jobs        2 in the queue" in lines
    found = next(objects(HostStatus("laser", "laser:1", (status,), LINK)))
    assert (found["job"]["job"], found["queued_jobs"]) == (17, 2)
    assert mistakes([found], "status") == []


def test_json_is_as_the_schema_says_with_much_and_with_little_known() -> None:
    hosts = [
        HostStatus("laser", "laser:50051", (PortStatus(PORT, MACHINE), PortStatus(PORT)), LINK),
        HostStatus("mill", "mill:50051", (PortStatus(PORT, replace(MACHINE, report=None)),)),
    ]
    found = json.loads(STATUS.json_list(hosts))
    assert mistakes(found, "status") == []
    assert [each["machine"] is None for each in found] == [False, True, True]
    gone = next(objects(HostStatus("gone", "gone:1", failure="why")))
    assert gone == {"host": "gone", "target": "gone:1", "silent_since": None, "error": "why"}
    assert mistakes(gone, "status_line") == []


def test_a_host_that_is_silent_is_shown_as_it_was_and_since_when() -> None:
    silent_since = datetime(2026, 5, 1, 12, tzinfo=UTC)
    host = HostStatus("h", "h:1", (PortStatus(PORT, MACHINE),), LINK, silent_since=silent_since)
    lines = page([host]).splitlines()
    assert lines[0] == "h:1: nothing heard since 2026-05-01 12:00:00 UTC; as it was then:"
    assert "laser (grbl): Hold:0" in lines[1]
    gone = HostStatus("h", "h:1", failure="gone", silent_since=silent_since)
    assert page([gone]) == "h:1: gone; last heard 2026-05-01 12:00:00 UTC"
    for each in (host, gone):
        (line,) = objects(each)
        assert line["silent_since"] == "2026-05-01T12:00:00+00:00"
        assert mistakes(line, "status_line") == []
