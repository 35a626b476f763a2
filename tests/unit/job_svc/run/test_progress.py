"""How far a job is: sent, acknowledged, executed; never more executed than acknowledged."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from usbshare.job_svc.run.program import Step
from usbshare.job_svc.run.progress import JobProgress
from usbshare.job_svc.storage.job import Progress
from usbshare.line.machine_report import MachineReport


def step(number: int, moves: bool = True) -> Step:
    return Step(b"G1X1", number, 1, number, number * 10, moves)


def counting(lines: int = 100, duration_s: float | None = None) -> tuple[JobProgress, list[float]]:
    now = [0.0]
    total = Progress(lines=lines, size_bytes=lines * 10)
    return JobProgress(total, lambda: now[0], duration_s), now


def test_lines_in_the_planner_are_not_executed_yet() -> None:
    counted, _ = counting()
    for number in range(1, 31):
        counted.sent(step(number))
        counted.answered()
    counted.reported(MachineReport("Run", free_blocks=15))
    assert counted.progress().executed_lines == 29  # one is under way
    counted, _ = counting()
    for number in range(1, 31):
        counted.sent(step(number))
        counted.answered()
    counted.reported(MachineReport("Run", free_blocks=0))
    assert counted.progress().executed_lines == 14
    counted.reported(MachineReport("Idle", free_blocks=15))
    assert counted.progress().executed_lines == 30


def test_a_planner_that_is_not_reported_counts_as_full() -> None:
    counted, _ = counting()
    for number in range(1, 31):
        counted.sent(step(number))
        counted.answered()
    counted.reported(MachineReport("Run"))
    assert counted.progress().executed_lines == 13


def test_blank_lines_at_the_end_count_once_all_is_acknowledged() -> None:
    counted, _ = counting(lines=7)
    counted.sent(step(5))
    counted.has_all()
    assert counted.next_unanswered is not None
    counted.answered()
    assert counted.is_acknowledged
    progress = counted.progress()
    assert (progress.sent_lines, progress.acknowledged_lines) == (7, 7)
    counted.finished()
    assert counted.progress().executed_lines == 7


def test_the_time_held_does_not_count() -> None:
    counted, now = counting()
    now[0] = 5.0
    counted.is_held(True)
    now[0] = 105.0
    assert counted.progress().elapsed_s == 5.0
    counted.is_held(False)
    now[0] = 107.0
    assert counted.progress().elapsed_s == 7.0


def test_the_remaining_time_follows_the_executed_lines() -> None:
    counted, _ = counting(lines=10, duration_s=60.0)
    assert counted.progress().remaining_s == 60.0
    for number in range(1, 6):
        counted.sent(step(number))
        counted.answered()
    counted.reported(MachineReport("Idle"))
    assert counted.progress().remaining_s == 30.0


EVENTS = st.lists(
    st.one_of(
        st.just("sent"),
        st.just("blank"),
        st.just("answered"),
        st.integers(0, 40),
        st.just("idle"),
    ),
    max_size=120,
)


@given(EVENTS)
def test_never_more_executed_than_acknowledged_and_never_back(events: list[str | int]) -> None:
    counted, _ = counting(lines=500)
    number, executed = 0, 0
    for event in events:
        if event in ("sent", "blank"):
            number += 1
            if event == "sent":
                counted.sent(step(number, moves=number % 3 > 0))
        elif event == "answered":
            if counted.next_unanswered is not None:
                counted.answered()
        else:
            state = "Idle" if event == "idle" else "Run"
            free = None if event == "idle" else int(event)
            counted.reported(MachineReport(state, free_blocks=free))
        progress = counted.progress()
        assert executed <= progress.executed_lines <= progress.acknowledged_lines
        assert progress.acknowledged_lines <= progress.sent_lines <= number
        executed = progress.executed_lines
