"""The state machine of jobs: whatever is done in whatever order, these things hold."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from usbshare.base.errors import LimitError, NotFoundError, WrongStateError
from usbshare.job_svc.queue import jobs as module
from usbshare.job_svc.queue.jobs import Change, Jobs, Order
from usbshare.job_svc.storage.job import (
    Job,
    JobState,
    Person,
    Progress,
    StoredFile,
    as_record,
    from_record,
)

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
FILE = StoredFile("ab" * 32, 120, 10)
ANNA = Person("usbshare://site/anna")
ORDER = Order("laser", "part.gcode", FILE, ANNA)


def make() -> tuple[Jobs, list[tuple[Change, Job]]]:
    told: list[tuple[Change, Job]] = []
    return Jobs(lambda: NOON, lambda change, job: told.append((change, job))), told


def names(jobs: list[Job]) -> list[int]:
    return [each.job_id for each in jobs]


def test_the_higher_priority_goes_first_and_then_the_earlier_one() -> None:
    jobs, _ = make()
    for priority in (0, 5, 0, 5):
        jobs.enqueue(replace(ORDER, priority=priority))
    assert names(jobs.queued("laser")) == [2, 4, 1, 3]
    assert [jobs.place(each) for each in jobs.all] == [3, 1, 4, 2]


def test_a_job_that_is_forgotten_meanwhile_has_no_place() -> None:
    jobs, _ = make()
    job, _ = jobs.enqueue(ORDER)
    jobs.delete(job.job_id)
    assert jobs.place(job) == 0


def test_a_request_that_is_sent_again_makes_no_second_job() -> None:
    jobs, _ = make()
    first, is_new = jobs.enqueue(replace(ORDER, request_id="r1"))
    again, is_new_again = jobs.enqueue(replace(ORDER, request_id="r1"))
    other, _ = jobs.enqueue(replace(ORDER, request_id="r1", submitter=Person("bob")))
    assert (is_new, is_new_again, again.job_id) == (True, False, first.job_id)
    assert other.job_id != first.job_id


def test_a_job_is_counted_over_all_its_passes() -> None:
    jobs, _ = make()
    job, _ = jobs.enqueue(replace(ORDER, passes=3))
    assert (job.progress.lines, job.progress.size_bytes) == (30, 360)


def test_a_port_runs_one_job_at_a_time() -> None:
    jobs, _ = make()
    jobs.enqueue(ORDER)
    jobs.enqueue(ORDER)
    jobs.start(1, "anna", auto_advance=False)
    with pytest.raises(WrongStateError, match=r"port 'laser' is busy with job 1 \(running\)"):
        jobs.start(2, "anna", auto_advance=False)
    with pytest.raises(WrongStateError, match="only a queued job can be started"):
        jobs.start(1, "anna", auto_advance=False)


def test_a_resume_names_the_hold_that_the_person_saw() -> None:
    jobs, _ = make()
    jobs.enqueue(ORDER)
    jobs.start(1, "anna", auto_advance=False)
    jobs.hold(1, "held by anna")
    jobs.hold(1, "nobody watches")
    with pytest.raises(WrongStateError, match=r"held again meanwhile \(nobody watches\)"):
        jobs.require_resumable(1, 1)
    jobs.require_resumable(1, 2)
    assert jobs.resumed(1).state is JobState.RUNNING


@pytest.mark.parametrize("state", [each for each in JobState if each.has_ended])
def test_only_a_job_that_is_finished_lets_the_next_one_start_automatically(state: JobState) -> None:
    jobs, _ = make()
    jobs.enqueue(ORDER)
    jobs.enqueue(ORDER)
    jobs.start(1, "anna", auto_advance=True)
    following = jobs.after(jobs.end(1, state))
    assert (following is not None) == (state is JobState.FINISHED)


def test_a_queue_does_not_advance_unless_the_operator_said_so_for_this_run() -> None:
    jobs, _ = make()
    jobs.enqueue(ORDER)
    jobs.enqueue(ORDER)
    jobs.start(1, "anna", auto_advance=False)
    assert jobs.after(jobs.end(1, JobState.FINISHED)) is None


def test_a_job_running_when_the_service_ended_is_interrupted_with_its_progress() -> None:
    jobs, _ = make()
    jobs.enqueue(ORDER)
    jobs.enqueue(ORDER)
    jobs.start(1, "anna", auto_advance=True)
    jobs.progressed(1, Progress(10, 120, 8, 90, 5, 60, 4))
    later, told = make()
    later.take_over(jobs.all, 2)
    assert later.get(1).state is JobState.INTERRUPTED
    assert later.get(1).progress.acknowledged_lines == 5
    assert not any(each.state.is_active for each in later.all)
    assert later.get(2).state is JobState.QUEUED
    assert [each.job_id for _, each in told] == [1]
    assert later.enqueue(ORDER)[0].job_id == 3


def test_a_number_is_never_given_twice_whatever_was_deleted() -> None:
    jobs, _ = make()
    jobs.enqueue(ORDER)
    jobs.delete(1)
    assert jobs.enqueue(ORDER)[0].job_id == 2
    with pytest.raises(NotFoundError, match="there is no job 1 here"):
        jobs.get(1)


def test_a_running_job_is_not_deleted() -> None:
    jobs, _ = make()
    jobs.enqueue(ORDER)
    jobs.start(1, "anna", auto_advance=False)
    with pytest.raises(WrongStateError, match="cancel it, then delete it"):
        jobs.delete(1)


def test_the_queue_and_the_history_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_QUEUED", 3)
    monkeypatch.setattr(module, "MOST_ENDED", 2)
    jobs, _ = make()
    for _ in range(3):
        jobs.enqueue(ORDER)
    with pytest.raises(LimitError, match="3 jobs are already waiting for port 'laser'"):
        jobs.enqueue(ORDER)
    for number in (1, 2, 3):
        jobs.end(number, JobState.CANCELLED)
    assert names(jobs.all) == [2, 3]


class JobsMachine(RuleBasedStateMachine):
    """Does anything at any time, and looks whether the jobs still make sense."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[int, Job] = {}
        self.jobs = Jobs(lambda: NOON, self.told)
        self.given: set[int] = set()
        self.ended: dict[int, JobState] = {}

    def told(self, change: Change, job: Job) -> None:
        if change is Change.REMOVED:
            del self.kept[job.job_id]
        else:
            self.kept[job.job_id] = job

    def one(self, data: st.DataObject) -> int:
        return data.draw(st.sampled_from(names(self.jobs.all) or [1]))

    def attempt(self, what: object, *arguments: object, **named: object) -> None:
        assert callable(what)
        with suppress(WrongStateError, NotFoundError):
            what(*arguments, **named)

    @rule(priority=st.integers(-3, 3), port=st.sampled_from(["laser", "mill"]))
    def enqueue(self, priority: int, port: str) -> None:
        job, _ = self.jobs.enqueue(replace(ORDER, priority=priority, port_id=port))
        assert job.job_id not in self.given
        self.given.add(job.job_id)

    @rule(data=st.data(), advance=st.booleans())
    def start(self, data: st.DataObject, advance: bool) -> None:
        self.attempt(self.jobs.start, self.one(data), "anna", auto_advance=advance)

    @rule(data=st.data())
    def hold(self, data: st.DataObject) -> None:
        self.attempt(self.jobs.hold, self.one(data), "why")

    @rule(data=st.data())
    def resume(self, data: st.DataObject) -> None:
        self.attempt(self.jobs.resumed, self.one(data))

    @rule(data=st.data(), state=st.sampled_from([s for s in JobState if s.has_ended]))
    def end(self, data: st.DataObject, state: JobState) -> None:
        number = self.one(data)
        if self.jobs.find(number) is not None:
            self.ended[number] = self.jobs.end(number, state).state

    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        self.attempt(self.jobs.delete, self.one(data))

    @rule(data=st.data(), place=st.integers(1, 8))
    def reorder(self, data: st.DataObject, place: int) -> None:
        number = self.one(data)
        job = self.jobs.find(number)
        if job is None or job.state is not JobState.QUEUED:
            return
        others = [each for each in names(self.jobs.queued(job.port_id)) if each != number]
        found = names(self.jobs.reorder(number, place))
        assert found == [*others[: place - 1], number, *others[place - 1 :]]

    @rule()
    def restart(self) -> None:
        jobs = self.jobs.all
        self.jobs = Jobs(lambda: NOON, self.told)
        self.jobs.take_over(jobs, max(self.given, default=0))
        assert not any(each.state.is_active for each in self.jobs.all)

    @invariant()
    def one_job_has_a_machine(self) -> None:
        for port in ("laser", "mill"):
            on_port = [each for each in self.jobs.all if each.port_id == port]
            assert sum(each.state.is_active for each in on_port) <= 1

    @invariant()
    def what_is_told_is_what_is_so(self) -> None:
        assert list(self.kept.values()) == sorted(
            self.jobs.all, key=lambda each: [*self.kept].index(each.job_id)
        )

    @invariant()
    def places_count_from_one(self) -> None:
        for port in ("laser", "mill"):
            waiting = self.jobs.queued(port)
            assert [self.jobs.place(each) for each in waiting] == [*range(1, len(waiting) + 1)]
            priorities = [each.priority for each in waiting]
            assert priorities == sorted(priorities, reverse=True)

    @invariant()
    def an_end_is_for_good(self) -> None:
        for number, state in self.ended.items():
            job = self.jobs.find(number)
            assert job is None or job.state is state


TestJobsMachine = JobsMachine.TestCase
TestJobsMachine.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_requests_for_the_port_of_a_job_are_known_only_while_it_runs() -> None:
    jobs, told = make()
    job, _ = jobs.enqueue(ORDER)
    jobs.asked_for(job.job_id, "too early")
    jobs.start(job.job_id, "anna", auto_advance=False)
    for number in range(module.MOST_CONTROL_REQUESTS + 2):
        jobs.asked_for(job.job_id, f"bench-{number}")
    jobs.asked_for(job.job_id, "bench-5")
    asked = [each.who for each in jobs.get(job.job_id).control_requests]
    assert (len(asked), asked[-1], len(set(asked))) == (8, "bench-5", 8)
    assert told[-1][0] is Change.UPDATED
    assert from_record(as_record(jobs.get(job.job_id))).control_requests == ()
    assert jobs.end(job.job_id, JobState.FAILED).control_requests == ()
    jobs.asked_for(job.job_id, "too late")
    assert jobs.get(job.job_id).control_requests == ()
