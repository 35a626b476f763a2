"""How far a job is, as a bar or as lines."""

from __future__ import annotations

import io
from dataclasses import replace

from fakes.clock import FakeClock
from fakes.remote_jobs import JOB
from usbshare.bridge.jobs.progress import LINE_S, Bar, JobDisplay, Lines, bar, display_on
from usbshare.client.jobs.messages import ControlRequest, JobProgress

RUNNING = replace(
    JOB, state="running", place=0, progress=JobProgress(lines=100, executed_lines=42, run=1)
)


def test_a_bar_is_as_long_as_what_is_done() -> None:
    assert [bar(percent).count("#") for percent in (-1, 0, 50, 99, 100, 101)] == [
        0, 0, 15, 29, 30, 30
    ]  # fmt: skip


def test_a_terminal_gets_a_bar_in_its_place() -> None:
    stream = io.StringIO()
    stream.isatty = lambda: True  # type: ignore[method-assign]
    display = JobDisplay(display_on(stream, print))
    display.show(RUNNING)
    assert stream.getvalue().startswith(
        "[############------------------] job 17 box.gcode: running"
    )
    display.show(replace(RUNNING, state="finished"))
    assert "\x1b[1A" in stream.getvalue()


def test_a_bar_is_drawn_below_what_was_printed_meanwhile() -> None:
    stream = io.StringIO()
    drawn = Bar(stream, FakeClock())
    drawn.show(1, "one", is_news=True)
    drawn.leave()
    stream.write("the link is lost\n")
    drawn.show(1, "one", is_news=True)
    assert stream.getvalue().splitlines()[1:] == ["the link is lost", f"{bar(1)} one"]


def test_a_pipe_gets_news_at_once_and_progress_at_intervals() -> None:
    lines: list[str] = []
    clock = FakeClock()
    display = JobDisplay(Lines(lines.append, clock))
    for executed in range(43, 60):
        progress = replace(RUNNING.progress, executed_lines=executed)
        display.show(replace(RUNNING, progress=progress))
        clock.advance(LINE_S / 5)
    assert len(lines) == 4
    display.show(replace(RUNNING, state="held", reason="a stop by anna"))
    assert lines[-1].startswith("job 17 box.gcode: held (a stop by anna) 42 %")
    assert "\x1b" not in "".join(lines)


def test_a_bar_and_lines_are_chosen_by_where_they_go() -> None:
    assert isinstance(display_on(io.StringIO(), print), Lines)
    assert not isinstance(display_on(io.StringIO(), print), Bar)


def test_a_request_for_the_port_is_news() -> None:
    lines: list[str] = []
    display = JobDisplay(Lines(lines.append, FakeClock()))
    display.show(RUNNING)
    asked = ControlRequest("anna (LightBurn)", JOB.enqueued)
    display.show(replace(RUNNING, control_requests=(asked,)))
    assert lines[-1].endswith(
        "; anna (LightBurn) asks for the port: `job hand-over 17` releases it"
    )
