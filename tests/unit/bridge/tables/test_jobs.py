"""What people are shown of jobs."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from fakes.json_schema import mistakes
from fakes.remote_jobs import JOB
from usbshare.bridge.tables.jobs import details, history_table, queue_table
from usbshare.client.jobs.messages import JobProgress
from usbshare.client.jobs.shown import fields, percent, time_text

PROGRESS = JobProgress(
    lines=200,
    size_bytes=2400,
    sent_lines=120,
    sent_bytes=1440,
    acknowledged_lines=110,
    acknowledged_bytes=1320,
    executed_lines=90,
    run=2,
    elapsed_s=83.2,
    remaining_s=190.0,
)
RUNNING = replace(
    JOB,
    state="running",
    place=0,
    passes=2,
    starter="usbshare://site/bob",
    started=datetime(2026, 5, 1, 12, 1, tzinfo=UTC),
    progress=PROGRESS,
)
FAILED = replace(
    RUNNING,
    state="failed",
    reason="line 91: error:20",
    ended=datetime(2026, 5, 1, 12, 5, tzinfo=UTC),
)


def test_a_queue_is_a_line_a_job() -> None:
    lines = queue_table([RUNNING, JOB]).splitlines()
    assert lines[0].split() == [
        "JOB", "PORT", "STATE", "PLACE", "DONE", "LEFT", "PASS", "PRIORITY", "SUBMITTER", "NAME"
    ]  # fmt: skip
    assert lines[1].split() == [
        "17", "laser", "running", "-", "45", "%", "3:10", "2/2", "0", "anna", "box.gcode"
    ]  # fmt: skip
    assert lines[2].split()[3:7] == ["1", "0", "%", "-"]


def test_a_history_says_how_each_ended() -> None:
    line = history_table([FAILED]).splitlines()[1]
    assert "failed" in line
    assert line.endswith("line 91: error:20")


def test_all_known_fields_are_shown() -> None:
    text = details(RUNNING)
    assert "of 200 lines 120 sent, 110 answered, 90 executed; 1:23, 3:10 left" in text
    assert "by usbshare://site/bob" in text
    assert "state       failed: line 91: error:20" in details(FAILED)


def test_the_name_of_a_job_cannot_act_on_a_terminal() -> None:
    evil = replace(FAILED, name="\x1b[2Jx\ny", reason="a\x9b31m\nb", submitter="s/\x07z")
    for text in (queue_table([evil]), history_table([evil]), details(evil)):
        assert not {each for each in text if not each.isprintable()} - {"\n"}
    assert len(queue_table([evil]).splitlines()) == 2


def test_json_is_as_the_schema_says() -> None:
    for job in (JOB, RUNNING, FAILED):
        assert mistakes(json.loads(json.dumps(fields(job))), "job") == []
    assert fields(RUNNING)["progress"]["pass"] == 2


@pytest.mark.parametrize(
    ("progress", "done"),
    [
        (JobProgress(), 0),
        (JobProgress(lines=1000, executed_lines=999), 99),
        (JobProgress(lines=1000, executed_lines=1000), 100),
        (JobProgress(lines=100, acknowledged_lines=50), 50),  # who does not report what it does
        (PROGRESS, 45),
    ],
)
def test_done_is_what_was_executed(progress: JobProgress, done: int) -> None:
    assert percent(progress) == done


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1:00"), (185, "3:05"), (4800, "1:20:00")],
)
def test_times_are_as_people_say_them(seconds: float, text: str) -> None:
    assert time_text(seconds) == text
