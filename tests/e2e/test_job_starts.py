"""Jobs that must not start, or not like this: stopped meanwhile, in other modes, elsewhere."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import grpc
import pytest

from fakes.job_host import (
    SHORT,
    TIMEOUT_S,
    JobHost,
    enqueued,
    job_host,
    read,
    refusal,
    until_job,
)
from usbshare.job.v1 import job_pb2 as pb
from usbshare.serial.v1 import serial_pb2 as serial

pytestmark = pytest.mark.apart

# Its analysis takes seconds.
LARGE = b"G90 G21\n" + b"".join(
    b"G1 X%d Y%d F6000\n" % (each % 99, each % 98) for each in range(30_000)
)
MARLIN = '[ports.printer]\nsource = "sim://marlin?record={record}"\nprofile = "marlin"\n'


async def start(jobs: Any, job: pb.Job, **values: Any) -> pb.Job:
    reply: pb.StartResponse = await jobs.Start(
        pb.StartRequest(job_id=job.job_id, **values), timeout=TIMEOUT_S
    )
    return reply.job


async def finished(jobs: Any, job: pb.Job) -> pb.Job:
    done = await until_job(jobs, job.job_id, lambda job: job.HasField("end_time"))
    assert done.state == pb.JOB_STATE_FINISHED, done.state_reason
    return done


async def port_of(host: JobHost) -> serial.Port:
    request = serial.GetPortRequest(port_id="laser")
    reply: serial.GetPortResponse = await host.machines().GetPort(request, timeout=TIMEOUT_S)
    return reply.port


async def stopped_and_rearmed(host: JobHost) -> None:
    """Stop the machine as one person, and re-arm it as another who knows of no job."""
    machines = host.machines()
    stop = serial.StopRequest(port_id="laser", action=serial.STOP_ACTION_EMERGENCY_STOP)
    epoch = (await machines.Stop(stop, timeout=TIMEOUT_S)).epoch
    await machines.Rearm(serial.RearmRequest(port_id="laser", epoch=epoch), timeout=TIMEOUT_S)


async def held_and_resumed(host: JobHost) -> None:
    """Hold the machine at rest, and let it go on."""
    machines = host.machines()
    hold = serial.StopRequest(port_id="laser", action=serial.STOP_ACTION_HOLD)
    await machines.Stop(hold, timeout=TIMEOUT_S)
    port = await port_of(host)
    resume = serial.StopRequest(
        port_id="laser",
        action=serial.STOP_ACTION_RESUME,
        epoch=port.epoch,
        hold_number=port.hold_number,
    )
    await machines.Stop(resume, timeout=TIMEOUT_S)


async def begun_analysis(host: JobHost) -> Any:
    """Return a watch of the analysis of the large file, which has begun."""
    asked = pb.AnalyseRequest(sha256=sha256(LARGE).digest())
    watch = host.jobs().Analyse(asked, timeout=TIMEOUT_S)
    while not (await read(watch)).lines_done:
        pass
    return watch


Touch = Callable[[JobHost], Awaitable[None]]


@pytest.mark.parametrize("touch", [stopped_and_rearmed, held_and_resumed])
async def test_a_stop_prevents_job_starts_requested_before_it(tmp_path: Path, touch: Touch) -> None:
    async with job_host(tmp_path) as host:
        jobs = host.jobs()
        await finished(jobs, await start(jobs, await enqueued(jobs)))  # the device is open
        job = await enqueued(jobs, LARGE)
        starting = asyncio.create_task(refusal(start(jobs, job)))
        watch = await begun_analysis(host)
        before = host.received()
        await touch(host)
        code, said = await starting
        watch.cancel()
        assert code is grpc.StatusCode.FAILED_PRECONDITION
        # A busy computer may not be done with its check in time, which refuses the start too.
        assert re.search(
            "was stopped, held or reset before the job began|still being checked", said
        )
        assert b"G1 X" not in host.received()[len(before) :]
        still = await until_job(jobs, job.job_id, lambda _: True)
        assert still.state == pb.JOB_STATE_QUEUED
        port = await port_of(host)
        assert (port.latched, port.HasField("hold"), port.HasField("holder")) == (False,) * 3


@pytest.mark.parametrize("touch", [stopped_and_rearmed, held_and_resumed])
async def test_a_queue_does_not_go_on_after_a_stop_between_two_jobs(
    tmp_path: Path, touch: Touch
) -> None:
    async with job_host(tmp_path) as host:
        jobs = host.jobs()
        first, second = await enqueued(jobs), await enqueued(jobs, LARGE)
        await start(jobs, first, auto_advance=True)
        await finished(jobs, first)
        watch = await begun_analysis(host)  # for the start of the second
        before = host.received()
        await touch(host)
        assert host.job is not None
        host.job.wait_for(rf"job {second.job_id} does not start automatically: ")
        watch.cancel()
        assert b"G1 X" not in host.received()[len(before) :]
        still = await until_job(jobs, second.job_id, lambda _: True)
        assert still.state == pb.JOB_STATE_QUEUED


def beams(host: JobHost) -> list[float]:
    """Return the powers of the machine's beam."""
    events = [json.loads(line) for line in host.record.read_text().splitlines()]
    return [each["beam"] for each in events if "beam" in each]


async def test_the_beam_is_off_after_a_program_that_leaves_it_on(tmp_path: Path) -> None:
    async with job_host(tmp_path) as host:
        jobs = host.jobs()
        cut_short = b"G21 G90\nM3 S500\nG1 X5 F3000\nG1 Y5\n"
        done = await finished(jobs, await start(jobs, await enqueued(jobs, cut_short, passes=2)))
        assert done.progress.executed_lines == done.progress.lines == 8
        assert set(beams(host)) == {0.0, 500.0}
        assert beams(host)[-1] == 0.0


async def test_a_job_runs_in_the_modes_in_which_it_was_analysed(tmp_path: Path) -> None:
    async with job_host(tmp_path) as host:
        jobs = host.jobs()
        await finished(jobs, await start(jobs, await enqueued(jobs, b"G1 F9\nG91 G20 G18\n")))
        await finished(jobs, await start(jobs, await enqueued(jobs, b"X3 Y2\nG1 X1 F600\n")))
        watch = host.machines().WatchMachine(
            serial.WatchMachineRequest(port_id="laser"), timeout=TIMEOUT_S
        )
        while not (report := (await read(watch)).report).work_position:
            pass
        assert list(report.work_position[:2]) == [1.0, 2.0]
        watch.cancel()


async def test_a_job_that_leaves_the_travel_of_a_homed_machine_is_refused(tmp_path: Path) -> None:
    async with job_host(tmp_path) as host:
        jobs = host.jobs()
        homing = await enqueued(jobs, b"$22=1\n$20=1\n$H\nG10 L2 P1 X-389 Y-289 Z-1\n")
        await finished(jobs, await start(jobs, homing))
        job = await enqueued(jobs, b"G90\nG0 X0 Y0\nG1 X395 F9000\n")
        before = host.received()
        code, said = await refusal(start(jobs, job))
        assert code is grpc.StatusCode.FAILED_PRECONDITION
        assert re.search(r"leaves the machine's travel: X 395\.0 is 6\.0 mm beyond its end", said)
        assert b"G0 X0" not in host.received()[len(before) :]
        assert (await until_job(jobs, job.job_id, lambda _: True)).state == pb.JOB_STATE_QUEUED
        await start(jobs, job, despite_errors=True)
        await until_job(jobs, job.job_id, lambda job: "ALARM:2" in job.state_reason)


async def test_a_job_that_may_leave_the_travel_starts_and_says_so(tmp_path: Path) -> None:
    async with job_host(tmp_path) as host:
        jobs = host.jobs()
        homing = await enqueued(jobs, b"$22=1\n$H\nG10 L2 P1 X-389 Y-289 Z-1\n")
        await finished(jobs, await start(jobs, homing))
        job = await start(jobs, await enqueued(jobs, b"G90\nG0 X0 Y0\nG1 X395 F9000\n"))
        assert job.state_reason.startswith(
            "it may leave the machine's travel: X 395.0 is 6.0 mm beyond "
        )
        assert (await finished(jobs, job)).state_reason == ""


async def test_no_job_begins_within_a_file_that_is_not_understood(tmp_path: Path) -> None:
    record = tmp_path / "laser.jsonl"
    async with job_host(tmp_path, ports=MARLIN.format(record=record)) as host:
        jobs = host.jobs()
        job = await enqueued(jobs, SHORT)
        request = pb.EnqueueRequest(sha256=job.file.sha256, first_line=4)
        code, said = await refusal(jobs.Enqueue(request, timeout=TIMEOUT_S))
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert said.startswith("a job for marlin cannot begin with line 4: ")
