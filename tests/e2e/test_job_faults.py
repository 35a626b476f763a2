"""Random faults during jobs that lie on the host: the beam goes off, nothing starts by itself, and
the history, the database and the files are true and whole.

A handful of cases runs always; `pytest -m slow` runs two hundred, on services that go on from one
case to the next unless a case kills them. There the limits of time are those that are promised. It
prints a summary: run it in one process on an idle computer, where it takes some ten minutes.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from fakes.job_faults import Fault, FaultyHost, damage, faulty_host, program_bytes
from fakes.job_host import TIMEOUT_S, enqueued, refusal, until_job, upload
from fakes.waiting import until
from fakes.warm import Nursery
from usbshare.job.v1 import job_pb2 as pb

SEEDS = 200
# From the moment when the host acts to the beam that is off, with the braking of the machine.
ACTS_S = 0.25
BUSY_S = 10.0  # of a machine that runs other tests
# The record of a running job is written once a second.
RECORD_S = 2.0
BEGINNING = b"G90 G21\nM4 S300\n"
# Millimetres of a line, its speed, and how many lines: seconds of work, in few lines or in many.
SHAPES = ((20, 3000, 15), (1, 3000, 300), (30, 600, 14))
RECEIVED_AHEAD_BYTES = 128  # what grbl takes before it has replied
KILLS = {Fault.JOB_SERVICE_KILLED, Fault.SERIAL_SERVICE_KILLED, Fault.UNPLUGGED}
HOLDS = {Fault.HELD_BY_JOB, Fault.HELD_BY_PORT}
STATES = {
    Fault.STOPPED: {pb.JOB_STATE_FAILED},
    **{key: {pb.JOB_STATE_INTERRUPTED} for key in KILLS},
    **{key: {pb.JOB_STATE_HELD} for key in HOLDS},
}
ENDED = {
    pb.JOB_STATE_FINISHED,
    pb.JOB_STATE_CANCELLED,
    pb.JOB_STATE_FAILED,
    pb.JOB_STATE_INTERRUPTED,
}


@dataclass(frozen=True, slots=True)
class Case:
    """What is run, and what happens to it when `at` of it has been received."""

    program: bytes
    at: float
    faults: tuple[Fault, ...]
    gap_s: float
    rest_s: float

    @property
    def lines(self) -> int:
        return self.program.count(b"\n")


def case(seed: int, faults: tuple[Fault, ...] = ()) -> Case:
    """Return a case of one or two faults."""
    chance = random.Random(seed)
    faults = faults or tuple(chance.sample(list(Fault), chance.choice((1, 2))))
    step, speed, count = chance.choice(SHAPES if faults != (Fault.DISK_FULL,) else SHAPES[:2])
    # The travel of the machine is 400 mm.
    at = [each * step % 800 for each in range(1, count + 1)]
    moves = (b"G1 X%d F%d S%d\n" % (min(x, 800 - x), speed, 200 + x) for x in at)
    comment = b"; seed %d\n" % seed
    return Case(
        BEGINNING + b"".join(moves) + b"M5\n" + comment,
        chance.uniform(-0.1, 0.7),
        faults,
        chance.choice((0.0, chance.uniform(0, 2))),
        chance.uniform(0, 2),
    )


class Run:
    """One case on a host."""

    def __init__(self, faulty: FaultyHost, case: Case, slack_s: float) -> None:
        self.faulty = faulty
        self.case = case
        self.slack_s = slack_s
        self.began = time.monotonic()
        self.job = self.waiting = pb.Job()
        self.seen: list[tuple[float, int]] = []
        self.struck: list[tuple[float, Fault]] = []
        self.late_s: float | None = None

    @property
    def kinds(self) -> set[Fault]:
        return {fault for _, fault in self.struck}

    @property
    def received(self) -> bytes:
        """The bytes of the program that have reached the machine."""
        found = program_bytes(self.faulty.machine, self.began, time.monotonic())
        return found[found.find(BEGINNING[:7]) :] if BEGINNING[:7] in found else b""

    @property
    def least_acknowledged(self) -> int:
        """How many of the lines that the machine has received it must have replied to."""
        ahead = self.received[-RECEIVED_AHEAD_BYTES:].count(b"\n") + 1
        return self.received.count(b"\n") - ahead

    async def run(self) -> None:
        await self.start()
        await self.strike()
        await self.repair()
        await self.check_the_end()
        await self.check_the_beam()
        await self.check_the_record()
        await self.faulty.make_ready()
        await self.check_what_waits()

    async def start(self) -> None:
        """Start a job with another behind it; a fault may come while it is being started."""
        self.faulty.begin()
        jobs = self.faulty.host.jobs()
        self.job = await enqueued(jobs, self.case.program)
        self.waiting = await enqueued(jobs, self.case.program)
        advances = set(self.case.faults) != {Fault.DISK_FULL}
        request = pb.StartRequest(job_id=self.job.job_id, auto_advance=advances)
        self.began = time.monotonic()
        starting = asyncio.ensure_future(jobs.Start(request, timeout=TIMEOUT_S))
        self.starting = starting
        if self.case.at >= 0:
            await starting
            await self.until_received(int(self.case.at * self.case.lines))

    async def until_received(self, lines: int) -> None:
        jobs = self.faulty.host.jobs()
        async with asyncio.timeout(TIMEOUT_S):
            while self.received.count(b"\n") < lines:
                job = await until_job(jobs, self.job.job_id, lambda _: True)
                assert not job.state_reason, f"it stopped before its fault came: {job.state_reason}"
                self.seen.append((time.monotonic(), job.progress.acknowledged_lines))

    async def strike(self) -> None:
        for fault in self.case.faults:
            if self.struck:
                await asyncio.sleep(self.case.gap_s)
            at = time.monotonic()
            if await self.faulty.strike(fault):
                self.struck.append((at, fault))
        if self.kinds == {Fault.DISK_FULL}:
            await refusal(upload(self.faulty.host.jobs(), b"G1 X1\n"))

    async def repair(self) -> None:
        await asyncio.sleep(self.case.rest_s)
        for fault in reversed(self.case.faults):
            await self.faulty.repair(fault)
        try:
            await self.starting
            self.has_started = True
        except grpc.aio.AioRpcError:
            self.has_started = False

    async def check_the_end(self) -> None:
        """The job is in a state that its faults allow, and says why."""
        ending = [STATES[each] for each in self.kinds if each in STATES and each not in HOLDS]
        if ending:
            allowed = set().union(*ending)
        elif self.kinds & HOLDS:
            allowed = {pb.JOB_STATE_HELD}
        else:
            allowed = {pb.JOB_STATE_FINISHED}
        if not self.has_started:
            allowed |= {pb.JOB_STATE_QUEUED}
        job = await self.settled(allowed)
        assert job.state in allowed, f"{self.told(job)}, not {names(allowed)}"
        assert job.state_reason or job.state in {pb.JOB_STATE_FINISHED, pb.JOB_STATE_QUEUED}
        print(f"{self.told(job)} after {[each.value for each in self.case.faults]}")
        if job.state == pb.JOB_STATE_HELD:  # progress follows the state by a moment
            least = self.least_acknowledged
            jobs = self.faulty.host.jobs()
            await until_job(jobs, job.job_id, lambda job: job.progress.acknowledged_lines >= least)
            job = await self.settled(allowed)
        if job.state != pb.JOB_STATE_QUEUED:
            self.check_the_count(job)

    async def settled(self, allowed: set[Any], job: pb.Job | None = None) -> pb.Job:
        states = ENDED | (allowed & {pb.JOB_STATE_HELD, pb.JOB_STATE_QUEUED})
        jobs, job = self.faulty.host.jobs(), job or self.job
        try:
            return await until_job(jobs, job.job_id, lambda job: job.state in states)
        except TimeoutError:
            job = await until_job(jobs, job.job_id, lambda _: True)
            port = await self.faulty.port()
            raise AssertionError(
                f"for a minute {self.told(job)} {job.progress} on {port}"
            ) from None

    def check_the_count(self, job: pb.Job) -> None:
        """What is acknowledged was received, and little more was received than is acknowledged."""
        received = self.received
        assert self.case.program.startswith(received), received[-100:]
        acknowledged, lines = job.progress.acknowledged_lines, received.count(b"\n")
        if job.state == pb.JOB_STATE_FINISHED:
            assert acknowledged == self.case.lines
            return
        assert acknowledged <= lines
        assert acknowledged >= max(self.known(), default=0)
        if not self.kinds & {Fault.JOB_SERVICE_KILLED, Fault.SERIAL_SERVICE_KILLED}:
            assert acknowledged >= self.least_acknowledged, (acknowledged, lines)

    def known(self) -> list[int]:
        """Return what was acknowledged before the faults, as far as it must have been recorded."""
        recorded = {Fault.JOB_SERVICE_KILLED, Fault.DISK_FULL}
        if Fault.JOB_SERVICE_KILLED not in self.kinds:
            return [count for _, count in self.seen]
        first = min(at for at, fault in self.struck if fault in recorded)
        return [count for at, count in self.seen if at < first - RECORD_S - self.slack_s]

    async def check_the_beam(self) -> None:
        """The beam is off in time and stays off, and no more of the program comes."""
        if not self.faulty.off_by or not self.kinds - {Fault.DISK_FULL}:
            return
        limit = min(self.faulty.off_by) + ACTS_S + self.slack_s
        await until(lambda: time.monotonic() > min(self.faulty.off_by) + ACTS_S + 0.5)
        now = time.monotonic()
        machine = self.faulty.machine
        off_at = [e["t"] for e in machine.entries() if "beam" in e and self.began < e["t"]]
        late = max(off_at, default=0.0) - min(self.faulty.off_by)
        self.late_s = late
        print(f"beam last changed {late * 1000:.0f} ms after the host could act")
        assert machine.beam_on_between(limit, now) == 0, self.story()
        assert machine.beam_on_between(now - 0.001, now) == 0, self.story()
        assert program_bytes(machine, limit, now).strip() == b"", self.story()

    async def check_the_record(self) -> None:
        """The database and the files are whole, and say what the service says."""
        jobs = self.faulty.host.jobs()
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                history = await jobs.ListHistory(pb.ListHistoryRequest(), timeout=TIMEOUT_S)
                queue = await jobs.ListJobs(pb.ListJobsRequest(), timeout=TIMEOUT_S)
                states = {each.job_id: state_of(each) for each in (*history.jobs, *queue.jobs)}
                if not (wrong := damage(self.faulty.host.folder, states)):
                    return
                assert wrong.startswith("the database has"), wrong
                await asyncio.sleep(0.1)

    async def check_what_waits(self) -> None:
        """The job behind it was never started, not even now that the machine is ready again."""
        jobs = self.faulty.host.jobs()
        waiting = await until_job(jobs, self.waiting.job_id, lambda _: True)
        if self.kinds - {Fault.DISK_FULL}:
            assert waiting.state == pb.JOB_STATE_QUEUED, self.told(waiting)
            assert not waiting.HasField("start_time")
            assert BEGINNING not in self.received[len(BEGINNING) :]
        for job in (self.job, self.waiting):
            await self.settled({pb.JOB_STATE_QUEUED}, job)
            await jobs.DeleteJob(pb.DeleteJobRequest(job_id=job.job_id), timeout=TIMEOUT_S)

    def story(self) -> str:
        """Return what happened, in seconds from the first fault on."""
        zero = self.struck[0][0]
        told = [f"{at - zero:.3f} {fault.value}" for at, fault in self.struck]
        told += [f"{at - zero:.3f} can act" for at in self.faulty.off_by]
        told += [
            f"{each['t'] - zero:.3f} {bytes.fromhex(each.get('rx', ''))!r} {each}"
            for each in self.faulty.machine.entries()
            if each["t"] > zero - 0.2 and "cut" not in each and each.get("rx") != "3f"
        ]
        return "\n".join(told)

    def told(self, job: pb.Job) -> str:
        return f"job {job.job_id} is {state_of(job)}: {job.state_reason!r}"


def state_of(job: pb.Job) -> str:
    return pb.JobState.Name(job.state).removeprefix("JOB_STATE_").lower()


def names(states: set[Any]) -> list[str]:
    return sorted(map(pb.JobState.Name, states))


@pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.name.lower())
async def test_a_fault_during_a_job(tmp_path: Path, fault: Fault) -> None:
    async with faulty_host(tmp_path) as faulty:
        await Run(faulty, case(1000 + list(Fault).index(fault), (fault,)), BUSY_S).run()


class Lasting:
    """A host that lasts from case to case; a new one after a case that failed."""

    def __init__(self, folder: pytest.TempPathFactory) -> None:
        self._folder = folder
        self._exits = AsyncExitStack()
        self._faulty: FaultyHost | None = None
        self.failed: list[int] = []
        self.passed = 0
        self.late_s: list[float] = []

    def summary(self) -> str:
        """Return how many cases passed, and how late the beam went off at most."""
        latest = f"{max(self.late_s) * 1000:.0f} ms" if self.late_s else "never"
        return (
            f"{self.passed + len(self.failed)} cases of random faults: {self.passed} passed, "
            f"{len(self.failed)} failed {self.failed}; the beam last changed {latest} after the "
            f"host could act ({ACTS_S * 1000:.0f} ms are promised)"
        )

    async def host(self) -> FaultyHost:
        if self._faulty is None:
            folder = self._folder.mktemp("host")
            self._faulty = await self._exits.enter_async_context(faulty_host(folder))
        return self._faulty

    async def end(self) -> None:
        self._faulty = None
        await self._exits.aclose()


@pytest.fixture(scope="module")
async def lasting(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> AsyncIterator[Lasting]:
    made = Lasting(tmp_path_factory)
    yield made
    await made.end()
    with pytestconfig.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(f"\n{made.summary()}")


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(SEEDS))
async def test_random_faults_during_jobs(
    lasting: Lasting, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Nursery, "is_used", True)  # how services start is not what is tried
    faulty = await lasting.host()
    run = Run(faulty, case(seed), 0.0)
    try:
        await run.run()
    except BaseException:
        lasting.failed.append(seed)
        await lasting.end()
        raise
    finally:
        lasting.late_s += [] if run.late_s is None else [run.late_s]
    lasting.passed += 1
