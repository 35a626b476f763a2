"""What the user is told: lines, a status line on a terminal, JSON for programs."""

from __future__ import annotations

import io
import json
import os
import threading

import pytest

from usbshare.base.line_writer import MOST_WAITING
from usbshare.bridge.forwarding.report import JsonReporter, TextReporter
from usbshare.bridge.tables.status_line import Status
from usbshare.client.serial.latency import Latency


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def status(**changes: object) -> Status:
    fields = {
        "state": "connected",
        "target": "laser:50051",
        "port": "demo",
        "path": "/run/COM10",
        "latency": None,
        "queue_commands": 3,
        "reconnections": 1,
        "sent_bytes": 10,
        "received_bytes": 20,
        "lost_bytes": 0,
    }
    return Status(**{**fields, **changes})  # type: ignore[arg-type]


def test_a_status_line_is_written_over_and_wiped_for_events() -> None:
    terminal = Terminal()
    reporter = TextReporter(terminal, lambda _: 200)
    reporter.status(status())
    reporter.event("lost", "link lost")
    reporter.flush()
    reporter.status(status(lost_bytes=5))
    reporter.end()
    reporter.flush()
    first = "demo at laser:50051: connected | no heartbeat yet | queue 3 | 10 B out | 20 B in"
    assert terminal.getvalue().startswith(first)
    assert "\r" in terminal.getvalue()
    assert "link lost\n" in terminal.getvalue()
    assert "5 B lost" in terminal.getvalue()


def test_a_status_line_wipes_no_more_than_a_terminal_that_became_narrower() -> None:
    terminal, columns = Terminal(), 120
    reporter = TextReporter(terminal, lambda _: columns)
    reporter.status(status())
    columns = 40
    reporter.status(status())
    reporter.end()
    reporter.flush()
    drawn = terminal.getvalue().split("\r")[1:]
    assert drawn
    assert all(len(each) < 40 for each in drawn)


def test_without_a_terminal_there_is_no_status_line() -> None:
    stream = io.StringIO()
    reporter = TextReporter(stream)
    reporter.status(status())
    reporter.event("ready", "ready: open COM10")
    reporter.flush()
    assert stream.getvalue() == "ready: open COM10\n"


def test_attempts_that_fail_alike_are_reported_once() -> None:
    stream = io.StringIO()
    reporter = TextReporter(stream)
    for reason in ("down", "down", "refused", "down"):
        reporter.event("waiting", f"again ({reason})", reason=reason)
    reporter.flush()
    assert stream.getvalue().splitlines() == ["again (down)", "again (refused)", "again (down)"]


def test_programs_get_json_with_latency_in_milliseconds() -> None:
    latency = Latency()
    for seconds in (0.001, 0.003):
        latency.add(seconds)
    stream = io.StringIO()
    reporter = JsonReporter(stream)
    reporter.status(status(latency=latency.summary()))
    reporter.flush()
    told = json.loads(stream.getvalue())
    assert told["event"] == "status"
    assert told["latency"] == {"now_ms": 3.0, "min_ms": 1.0, "mean_ms": 2.0, "max_ms": 3.0}


def test_latency_forgets_all_but_the_last_hundred_beats() -> None:
    latency = Latency()
    latency.add(10.0)
    for _ in range(100):
        latency.add(0.001)
    summary = latency.summary()
    assert summary is not None
    assert summary.max_ms == 1.0


@pytest.mark.parametrize("kind", [TextReporter, JsonReporter])
def test_a_pipe_without_a_reader_blocks_no_caller(
    kind: type[TextReporter | JsonReporter],
) -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as lines:
        with os.fdopen(writing, "w") as stream:
            reporter = kind(stream)
            for number in range(3 * MOST_WAITING):
                reporter.event("waiting", "x" * 100, reason=number)
                reporter.status(status())
            reader = threading.Thread(target=lambda: told.append(lines.read()))
            told: list[bytes] = []
            reader.start()
            reporter.flush()
        reader.join()
    assert b" lines dropped" in told[0]
