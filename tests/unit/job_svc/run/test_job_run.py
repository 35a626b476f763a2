"""One job: what ends it, what holds it, and what its history says then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fakes.remote import REMOTE
from fakes.waiting import until
from usbshare.base.errors import WrongStateError
from usbshare.client.serial.line_stream import LineAnswer
from usbshare.client.serial.messages import Hold, RemoteLatch, RemotePort
from usbshare.job_svc.run import job_run as module
from usbshare.job_svc.run.job_run import End, JobRun
from usbshare.job_svc.run.program import Program
from usbshare.job_svc.storage.job import Job, JobState, Person, Progress, StoredFile
from usbshare.line.machine_report import MachineReport
from usbshare.line.profiles import GRBL

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
PROGRAM = b"G21\n\n; a comment\nG1 X1 F100\nG1 X2\nM5\n\n"
TOTAL = Progress(lines=7, size_bytes=len(PROGRAM))
FILE = StoredFile("ab" * 32, len(PROGRAM), 7)
JOB = Job(1, "laser", "part", FILE, Person("anna"), NOON, progress=TOTAL)
OPEN = replace(REMOTE, state="open", profile=GRBL)
HOLD = Hold("stop", "usbshare://site/bob", NOON, "resume", reason="smoke")
IDLE, RUN = MachineReport("Idle"), MachineReport("Run")


@dataclass
class FakeStream:
    """Takes up to `room` lines that were not answered, as a firmware's buffer does."""

    room: int = 2
    lines: list[bytes] = field(default_factory=list)
    answered: int = 0
    polls: int = 0
    is_connected: bool = True

    async def send(self, line: bytes) -> int:
        await until(lambda: len(self.lines) - self.answered < self.room)
        self.lines.append(line.removesuffix(b"\n"))
        return len(self.lines)

    def realtime(self, data: bytes) -> bool:
        assert data == b"?"
        self.polls += 1
        return self.is_connected


def answer(outcome: str = "answered", reply: str = "ok", message: str = "") -> LineAnswer:
    return LineAnswer(1, b"", outcome, reply, message)


@dataclass
class Story:
    """What was told of a job."""

    holds: list[str] = field(default_factory=list)
    resumptions: int = 0
    askers: list[str] = field(default_factory=list)
    progress: Progress = TOTAL

    def held(self, reason: str) -> None:
        self.holds.append(reason)

    def goes_on(self) -> None:
        self.resumptions += 1

    def progressed(self, progress: Progress) -> None:
        self.progress = progress

    def asked_for(self, who: str) -> None:
        self.askers.append(who)


@dataclass
class Scene:
    """A job that runs on a fake stream."""

    run: JobRun
    stream: FakeStream
    story: Story
    task: asyncio.Task[End]

    async def answer_all(self) -> None:
        while self.stream.answered < 4:
            await until(lambda: len(self.stream.lines) > self.stream.answered)
            self.stream.answered += 1
            self.run.line_answered(answer())

    async def end(self) -> End:
        async with asyncio.timeout(30):
            return await self.task


@asynccontextmanager
async def scene(
    path: Path, content: bytes | None = PROGRAM, **program: int
) -> AsyncIterator[Scene]:
    file = path / "x.gcode"
    if content is not None:
        file.write_bytes(content)
    story, stream = Story(), FakeStream()
    run = JobRun(JOB, Program(file, **program), story)  # type: ignore[arg-type]
    run.port_changed(OPEN)
    task = asyncio.create_task(run.run(stream))
    try:
        yield Scene(run, stream, story, task)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_machine_that_reports_nothing_is_not_to_be_homed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "READY_TIMEOUT_S", 0.05)
    stream, run = FakeStream(), JobRun(JOB, Program(tmp_path / "x.gcode"), Story())
    run.port_changed(OPEN)
    with pytest.raises(WrongStateError, match=r"within 0\.05 s: check that it is switched on"):
        await run.require_idle(stream)
    assert stream.polls > 0
    run.machine_reported(MachineReport("Alarm"))
    with pytest.raises(WrongStateError, match="cannot begin: the machine reports an alarm"):
        await run.require_idle(stream)


async def test_a_job_is_finished_when_all_is_acknowledged_and_the_machine_rests(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path) as job:
        job.run.machine_reported(IDLE)
        job.run.machine_reported(IDLE)  # before anything was sent, that says nothing
        await job.answer_all()
        await until(lambda: job.story.progress.acknowledged_lines == 7)
        assert job.stream.lines == [b"G21", b"G1 X1 F100", b"G1 X2", b"M5"]
        job.run.machine_reported(RUN)
        job.run.machine_reported(IDLE)
        assert not job.task.done()
        job.run.machine_reported(IDLE)
        assert await job.end() == End(JobState.FINISHED)
        done = job.story.progress
        assert (done.sent_lines, done.acknowledged_lines, done.executed_lines) == (7, 7, 7)
        assert done.acknowledged_bytes == len(PROGRAM)


async def test_each_pass_sends_the_program_again(tmp_path: Path) -> None:
    async with scene(tmp_path, passes=2) as job:
        job.stream.room = 100
        await until(lambda: len(job.stream.lines) == 8)
        assert job.stream.lines[:4] == job.stream.lines[4:]


async def test_nothing_is_sent_after_the_epoch_of_its_machine_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever becomes of the port: what came now would be of another epoch, in other modes."""
    monkeypatch.setattr(module, "WHY_S", 0.05)
    async with scene(tmp_path) as job:
        await until(lambda: len(job.stream.lines) == 2)
        job.run.port_changed(replace(OPEN, epoch=OPEN.epoch + 1))
        job.stream.answered = 2  # as fenced lines are
        end = await job.end()
        assert (end.state, end.resets) == (JobState.FAILED, False)
        assert end.reason == "the machine was reset: what was sent is void"
        assert len(job.stream.lines) == 2


async def test_a_rejected_line_ends_it_by_name_and_resets_the_machine(tmp_path: Path) -> None:
    async with scene(tmp_path) as job:
        await until(lambda: len(job.stream.lines) == 2)
        job.stream.answered = 1
        job.run.line_answered(answer())
        job.run.line_answered(answer("rejected", "error:20"))
        end = await job.end()
        assert end == End(JobState.FAILED, "error:20 at line 4: G1 X1 F100", resets=True)
        assert job.story.progress.acknowledged_lines == 1


async def test_an_alarm_ends_it(tmp_path: Path) -> None:
    async with scene(tmp_path) as job:
        await until(lambda: bool(job.stream.lines))
        job.run.line_answered(answer("rejected", "ALARM:2"))
        end = await job.end()
        assert (end.state, end.resets) == (JobState.FAILED, False)
        assert end.reason == "the machine reports ALARM:2 at line 1: G21"
    async with scene(tmp_path) as job:
        job.run.machine_reported(MachineReport("Alarm"))
        assert (await job.end()).state is JobState.FAILED


async def test_an_alarm_that_the_port_knows_from_before_does_not_end_it(tmp_path: Path) -> None:
    async with scene(tmp_path) as job:
        job.run.port_changed(replace(OPEN, machine_state="Alarm"))
        await until(lambda: bool(job.stream.lines))
        job.run.machine_reported(IDLE)
        assert not job.task.done()
        job.run.port_changed(replace(OPEN, machine_state="Alarm"))
        assert (await job.end()).state is JobState.FAILED


async def test_a_stop_by_anybody_is_reported_by_name_though_its_lines_are_void_first(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path) as job:
        await until(lambda: bool(job.stream.lines))
        job.run.line_answered(answer("fenced", "", "an emergency stop voided it"))
        latch = RemoteLatch("emergency stop", "usbshare://site/bob", "smoke", NOON, 2)
        job.run.port_changed(replace(OPEN, latched=True, latch=latch, epoch=2))
        end = await job.end()
        assert end.state is JobState.FAILED
        assert "usbshare://site/bob at 2026-05-01 12:00:00 UTC (smoke)" in end.reason


async def test_a_lost_device_interrupts_it(tmp_path: Path) -> None:
    async with scene(tmp_path) as job:
        await until(lambda: bool(job.stream.lines))
        job.run.line_answered(answer("unanswered", "", "the device is gone"))
        job.run.port_changed(replace(OPEN, state="absent", reason="unplugged", epoch=2))
        assert await job.end() == End(JobState.INTERRUPTED, "the device was lost: unplugged")


async def test_a_reset_by_somebody_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WHY_S", 0.01)
    async with scene(tmp_path) as job:
        await until(lambda: bool(job.stream.lines))
        job.run.line_answered(answer("fenced", "", "a reset voided it"))
        job.run.port_changed(replace(OPEN, epoch=2))
        end = await job.end()
        assert end.reason == "the machine was reset: a reset voided it"
        assert (end.state, end.resets) == (JobState.FAILED, False)


def held(number: int, hold: Hold | None = HOLD) -> RemotePort:
    return replace(OPEN, held=hold is not None, hold=hold, hold_number=number)


async def test_a_job_follows_holds_and_resumes_of_its_port_by_anyone(tmp_path: Path) -> None:
    async with scene(tmp_path) as job:
        job.run.port_changed(held(1))
        job.run.port_changed(held(1))
        assert job.story.holds == ["stop by usbshare://site/bob: smoke"]
        job.run.port_changed(held(2))
        assert len(job.story.holds) == 2
        job.run.port_changed(held(2, None))
        job.run.port_changed(held(2, None))
        assert job.story.resumptions == 1


async def test_our_own_hold_is_reported_once_in_our_words(tmp_path: Path) -> None:
    own = replace(HOLD, who="usbshare://site/job-svc", reason="")
    async with scene(tmp_path) as job:
        job.run.will_be_held("held by anna")
        job.run.held_by_us("held by anna", 1)
        job.run.port_changed(held(1, own))
        job.run.port_changed(held(1, None))
        job.run.port_changed(held(2, own))
        job.run.held_by_us("held by anna", 2)
        assert job.story.holds == ["held by anna", "held by anna"]


async def test_a_lost_link_holds_it_and_its_end_interrupts_it(tmp_path: Path) -> None:
    async with scene(tmp_path) as job:
        job.run.link_changed("silence", is_connected=False)
        assert job.story.holds == ["the link to serial-svc was lost: silence"]
        job.run.line_answered(answer("lost", "", "it did not come back within 30 s"))
        end = await job.end()
        assert end.state is JobState.INTERRUPTED
        assert "did not come back within 30 s" in end.reason


async def test_a_missing_file_ends_the_job_with_a_reason(tmp_path: Path) -> None:
    async with scene(tmp_path, content=None) as job:
        end = await job.end()
        assert end.state is JobState.FAILED
        assert end.reason == "the job's file cannot be read: No such file or directory"


async def test_the_first_end_counts(tmp_path: Path) -> None:
    async with scene(tmp_path) as job:
        job.run.end(JobState.CANCELLED, "cancelled by anna")
        job.run.line_answered(answer("lost"))
        assert await job.end() == End(JobState.CANCELLED, "cancelled by anna")
