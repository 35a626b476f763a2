"""Jobs on a simulated laser: run, held, resumed, cancelled, and ended by whatever may happen."""

from __future__ import annotations

import asyncio
import signal
from hashlib import sha256
from pathlib import Path
from typing import Any

import grpc
import pytest

from fakes.guarded_host import write_bundle
from fakes.job_host import (
    PROGRAM,
    SHORT,
    TIMEOUT_S,
    JobHost,
    enqueued,
    job_host,
    read,
    refusal,
    until_job,
    upload,
)
from fakes.processes import Process, environment
from fakes.waiting import until
from usbshare.base.host_names import host_names
from usbshare.job.v1 import job_pb2 as pb
from usbshare.serial.v1 import serial_pb2 as serial
from usbshare.trust.site import ensure_site

pytestmark = pytest.mark.apart

ENDED = {
    pb.JOB_STATE_FINISHED,
    pb.JOB_STATE_CANCELLED,
    pb.JOB_STATE_FAILED,
    pb.JOB_STATE_INTERRUPTED,
}
# Takes minutes, so that there is time to do something to it.
LONG = b"G90 G21\nM4 S300\n" + b"".join(
    b"G1 X%d Y%d F600 S%d\n" % (each % 2 * 100, each % 90, 100 + each % 400) for each in range(2000)
)


async def started(jobs: Any, content: bytes = LONG, **values: Any) -> pb.Job:
    """Start a job; return it once lines were acknowledged."""
    job = await enqueued(jobs, content, **values)
    await start(jobs, job)
    return await until_job(jobs, job.job_id, lambda job: job.progress.acknowledged_lines > 3)


async def start(jobs: Any, job: pb.Job, **values: Any) -> pb.Job:
    request = pb.StartRequest(job_id=job.job_id, **values)
    reply: pb.StartResponse = await jobs.Start(request, timeout=TIMEOUT_S)
    return reply.job


async def in_state(jobs: Any, job: pb.Job, *states: pb.JobState.ValueType) -> pb.Job:
    return await until_job(jobs, job.job_id, lambda job: job.state in (states or ENDED))


async def port_of(host: JobHost) -> serial.Port:
    request = serial.GetPortRequest(port_id="laser")
    reply: serial.GetPortResponse = await host.machines().GetPort(request, timeout=TIMEOUT_S)
    return reply.port


async def test_a_job_is_run_to_its_end_and_everybody_sees_the_same(tmp_path: Path) -> None:
    async with job_host(tmp_path) as host:
        jobs = host.jobs()
        job = await enqueued(jobs, passes=2)
        watch = host.jobs().WatchJobs(pb.WatchJobsRequest(port_id="laser"), timeout=TIMEOUT_S)
        assert (await read(watch)).change == pb.JOB_CHANGE_EXISTING
        running = await start(jobs, job)
        assert (running.state, running.starter) == (pb.JOB_STATE_RUNNING, job.submitter)
        done = await in_state(jobs, job)
        assert (done.state, done.state_reason) == (pb.JOB_STATE_FINISHED, "")
        progress = done.progress
        assert progress.lines == progress.sent_lines == progress.acknowledged_lines == 10
        assert progress.executed_lines == 10
        assert getattr(progress, "pass") == 2
        while (news := await read(watch)).change != pb.JOB_CHANGE_REMOVED:
            assert news.job.progress.executed_lines <= news.job.progress.acknowledged_lines
        assert news.job.state == pb.JOB_STATE_FINISHED
        watch.cancel()
        history = await jobs.ListHistory(pb.ListHistoryRequest(), timeout=TIMEOUT_S)
        assert [each.job_id for each in history.jobs] == [job.job_id]
        port = await port_of(host)
        assert (port.latched, port.HasField("hold"), port.HasField("holder")) == (False,) * 3


async def test_the_holder_of_the_port_names_the_job_and_its_submitter(tmp_path: Path) -> None:
    async with job_host(tmp_path) as host:
        job = await started(host.jobs())
        holder = (await port_of(host)).holder
        assert holder.identity.endswith("/job-svc")
        assert holder.client_name == f"job {job.job_id} of operator"


async def test_hold_resume_and_cancel(tmp_path: Path) -> None:
    async with job_host(tmp_path) as host:
        jobs = host.jobs()
        job = await started(jobs)
        request = pb.HoldRequest(job_id=job.job_id, reason="smoke")
        held = (await jobs.Hold(request, timeout=TIMEOUT_S)).job
        assert (held.state, held.hold_number) == (pb.JOB_STATE_HELD, 1)
        assert held.state_reason == "held by operator: smoke"
        port = await port_of(host)
        assert port.HasField("hold")
        wrong = pb.ResumeRequest(job_id=job.job_id, hold_number=7)
        code, said = await refusal(jobs.Resume(wrong, timeout=TIMEOUT_S))
        assert (code.name, "check the machine, then resume hold 1" in said) == (
            "FAILED_PRECONDITION",
            True,
        )
        right = pb.ResumeRequest(job_id=job.job_id, hold_number=1)
        assert (await jobs.Resume(right, timeout=TIMEOUT_S)).job.state == pb.JOB_STATE_RUNNING
        before = (await until_job(jobs, job.job_id, lambda _: True)).progress.acknowledged_lines
        await until_job(jobs, job.job_id, lambda job: job.progress.acknowledged_lines > before)
        cancel = pb.CancelRequest(job_id=job.job_id, reason="wrong material")
        ended = (await jobs.Cancel(cancel, timeout=TIMEOUT_S)).job
        assert (ended.state, ended.state_reason) == (
            pb.JOB_STATE_CANCELLED,
            "cancelled by operator: wrong material",
        )
        port = await port_of(host)
        assert (port.latched, port.HasField("holder")) == (False, False)


async def test_a_request_for_the_port_of_a_job_is_shown_and_can_be_granted(tmp_path: Path) -> None:
    async with job_host(tmp_path) as host:
        jobs, machines = host.jobs(), host.machines()
        job = await started(jobs)
        watch = host.jobs().WatchJobs(pb.WatchJobsRequest(), timeout=TIMEOUT_S)
        ask = serial.RequestControlRequest(port_id="laser", client_name="LightBurn at bench")
        told = await machines.RequestControl(ask, timeout=TIMEOUT_S)
        assert told.told
        while not (asked := (await read(watch)).job.control_requests):
            pass
        assert [each.who.endswith("(LightBurn at bench)") for each in asked] == [True]
        shown = (await jobs.GetJob(pb.GetJobRequest(job_id=job.job_id), timeout=TIMEOUT_S)).job
        assert shown.control_requests == asked
        assert shown.state == pb.JOB_STATE_RUNNING  # it keeps the port until a person gives way
        give = pb.HandOverRequest(job_id=job.job_id, reason="bench first")
        ended = (await jobs.HandOver(give, timeout=TIMEOUT_S)).job
        assert (ended.state, ended.state_reason, len(ended.control_requests)) == (
            pb.JOB_STATE_INTERRUPTED,
            "handed over by operator: bench first",
            0,
        )
        assert 0 < ended.progress.acknowledged_lines < ended.progress.lines
        port = await port_of(host)
        assert (port.latched, port.HasField("hold"), port.HasField("holder")) == (False,) * 3
        session = host.machines().Session(timeout=TIMEOUT_S)
        opening = serial.Open(port_id="laser", mode=serial.SESSION_MODE_CONTROL)
        await session.write(serial.SessionRequest(open=opening))
        assert (await read(session)).HasField("opened")
        session.cancel()
        code, said = await refusal(jobs.HandOver(give, timeout=TIMEOUT_S))
        assert (code.name, said) == (
            "FAILED_PRECONDITION",
            f"job {job.job_id} is interrupted: it is not running",
        )


async def test_a_start_does_not_wait_for_the_analysis_of_somebody_elses_file(
    tmp_path: Path,
) -> None:
    async with job_host(tmp_path) as host:
        jobs = host.jobs()
        large = b"".join(b"G1 X%d Y%d F6000\n" % (each % 99, each % 98) for each in range(250_000))
        await enqueued(jobs, large)  # its analysis begins
        ask = pb.AnalyseRequest(sha256=sha256(large).digest())
        analysis = host.jobs().Analyse(ask, timeout=TIMEOUT_S)
        while not (await read(analysis)).lines_done:
            pass
        job = await enqueued(jobs)
        assert (await start(jobs, job)).state == pb.JOB_STATE_RUNNING
        assert not (await read(analysis)).HasField("analysis")
        analysis.cancel()
        assert (await in_state(jobs, job)).state == pb.JOB_STATE_FINISHED


@pytest.mark.parametrize("by", ["hold", "cancel"])
async def test_a_start_is_called_off_while_it_waits_for_the_analysis(
    tmp_path: Path, by: str
) -> None:
    async with job_host(tmp_path) as host:
        jobs = host.jobs()
        large = b"".join(b"G1 X%d Y%d F6000\n" % (each % 99, each % 98) for each in range(250_000))
        job = await enqueued(jobs, large)
        starting = asyncio.create_task(refusal(start(jobs, job)))
        watch = jobs.Analyse(pb.AnalyseRequest(sha256=sha256(large).digest()), timeout=TIMEOUT_S)
        while not (await read(watch)).lines_done:
            pass
        if by == "hold":
            request = pb.HoldRequest(job_id=job.job_id, reason="smoke")
            after = (await jobs.Hold(request, timeout=TIMEOUT_S)).job
            assert after.state == pb.JOB_STATE_QUEUED
        else:
            cancel = pb.CancelRequest(job_id=job.job_id, reason="smoke")
            after = (await jobs.Cancel(cancel, timeout=TIMEOUT_S)).job
            assert after.state == pb.JOB_STATE_CANCELLED
        code, said = await starting
        assert code.name == "FAILED_PRECONDITION"
        assert f"job {job.job_id} does not start: " in said
        assert "by operator: smoke" in said
        watch.cancel()


async def test_a_held_job_is_cancelled(tmp_path: Path) -> None:
    async with job_host(tmp_path) as host:
        jobs = host.jobs()
        job = await started(jobs)
        await jobs.Hold(pb.HoldRequest(job_id=job.job_id), timeout=TIMEOUT_S)
        ended = (await jobs.Cancel(pb.CancelRequest(job_id=job.job_id), timeout=TIMEOUT_S)).job
        assert ended.state == pb.JOB_STATE_CANCELLED
        port = await port_of(host)
        assert (port.latched, port.HasField("hold")) == (False, False)


async def test_a_stop_by_somebody_else_ends_it_and_nothing_follows(tmp_path: Path) -> None:
    async with job_host(tmp_path) as host:
        jobs = host.jobs()
        waiting = await enqueued(jobs)
        job = await enqueued(jobs, LONG, priority=5)
        await start(jobs, job, auto_advance=True)
        await until_job(jobs, job.job_id, lambda job: job.progress.acknowledged_lines > 3)
        stop = serial.StopRequest(
            port_id="laser", action=serial.STOP_ACTION_EMERGENCY_STOP, reason="fire"
        )
        await host.machines().Stop(stop, timeout=TIMEOUT_S)
        ended = await in_state(jobs, job)
        assert ended.state == pb.JOB_STATE_FAILED
        assert "operator" in ended.state_reason
        assert "(fire)" in ended.state_reason
        still = await until_job(jobs, waiting.job_id, lambda _: True)
        assert (still.state, still.place) == (pb.JOB_STATE_QUEUED, 1)
        code, said = await refusal(start(jobs, still))
        assert code is grpc.StatusCode.FAILED_PRECONDITION
        assert "port 'laser' is latched since" in said


@pytest.mark.parametrize("by", ["Reset", "SendRealtime"])
async def test_nothing_of_a_job_follows_a_reset_by_somebody_else(tmp_path: Path, by: str) -> None:
    """It is in other modes then, and whoever reset it may be at the machine."""
    async with job_host(tmp_path) as host:
        jobs, machines = host.jobs(), host.machines()
        job = await started(jobs)
        if by == "Reset":
            await machines.Reset(serial.ResetRequest(port_id="laser"), timeout=TIMEOUT_S)
        else:
            request = serial.SendRealtimeRequest(port_id="laser", data=b"\x18")
            await machines.SendRealtime(request, timeout=TIMEOUT_S)
        ended = await in_state(jobs, job)
        assert ended.state == pb.JOB_STATE_FAILED  # by the reset, or the alarm that it raises
        await until_free(host)
        _, _, after = host.received().partition(b"\x18")
        assert b"G1 X" not in after


async def until_free(host: JobHost) -> None:
    """Return once nobody has control of the port."""
    async with asyncio.timeout(TIMEOUT_S):
        while (await port_of(host)).HasField("holder"):  # noqa: ASYNC110  # nothing tells
            await asyncio.sleep(0.02)


async def test_a_hold_and_a_resume_by_somebody_else_are_followed(tmp_path: Path) -> None:
    async with job_host(tmp_path) as host:
        jobs, machines = host.jobs(), host.machines()
        job = await started(jobs)
        hold = serial.StopRequest(port_id="laser", action=serial.STOP_ACTION_HOLD, reason="look")
        await machines.Stop(hold, timeout=TIMEOUT_S)
        held = await in_state(jobs, job, pb.JOB_STATE_HELD)
        assert held.state_reason.startswith("stop by usbshare://")
        assert held.state_reason.endswith("/operator: look")
        await resume_machine(host)
        await in_state(jobs, job, pb.JOB_STATE_RUNNING)


# Brakes for a second, during which GRBL ignores a resume.
SLOW_TO_BRAKE = b"$120=10\n$121=10\n" + LONG


async def test_a_job_that_is_resumed_while_its_machine_brakes_continues(tmp_path: Path) -> None:
    async with job_host(tmp_path) as host:
        jobs = host.jobs()
        job = await started(jobs, SLOW_TO_BRAKE)
        await until_moving(host)
        await jobs.Hold(pb.HoldRequest(job_id=job.job_id), timeout=TIMEOUT_S)
        resume = pb.ResumeRequest(job_id=job.job_id, hold_number=1)
        resumed = (await jobs.Resume(resume, timeout=TIMEOUT_S)).job
        assert resumed.state == pb.JOB_STATE_RUNNING
        port = await port_of(host)
        assert (port.HasField("hold"), port.machine_state) == (False, "Run")
        assert host.received().count(b"~") == 2
        assert (await in_state(jobs, job, pb.JOB_STATE_RUNNING)).hold_number == 1


async def test_a_job_that_is_held_again_while_its_machine_brakes_stays_held(tmp_path: Path) -> None:
    async with job_host(tmp_path) as host:
        jobs = host.jobs()
        job = await started(jobs, SLOW_TO_BRAKE)
        await until_moving(host)
        await jobs.Hold(pb.HoldRequest(job_id=job.job_id), timeout=TIMEOUT_S)
        resume = pb.ResumeRequest(job_id=job.job_id, hold_number=1)
        resuming = asyncio.ensure_future(refusal(jobs.Resume(resume, timeout=TIMEOUT_S)))
        await until(lambda: b"~" in host.received())
        await jobs.Hold(pb.HoldRequest(job_id=job.job_id), timeout=TIMEOUT_S)
        code, said = await resuming
        assert code is grpc.StatusCode.FAILED_PRECONDITION
        assert "stopped or held again while it was being resumed" in said
        await until_state(host, "Door:0")
        assert host.received().count(b"~") == 1
        assert (await in_state(jobs, job, pb.JOB_STATE_HELD)).hold_number == 2


async def test_a_hold_of_a_machine_that_homes_is_shown_as_unconfirmed(tmp_path: Path) -> None:
    async with job_host(tmp_path) as host:
        jobs = host.jobs()
        job = await enqueued(jobs, b"$22=1\n$25=60\n$H\nG0 X-1\n")  # it homes for minutes
        await start(jobs, job, despite_errors=True)
        await until(lambda: b"$H\n" in host.received())
        hold = serial.StopRequest(port_id="laser", action=serial.STOP_ACTION_HOLD, reason="look")
        await host.machines().Stop(hold, timeout=TIMEOUT_S)
        async with asyncio.timeout(TIMEOUT_S):
            while UNCONFIRMED not in (await port_of(host)).hold.reason:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert (await port_of(host)).hold.reason == f"look; {UNCONFIRMED}"
        door = serial.StopRequest(port_id="laser", action=serial.STOP_ACTION_SAFETY_DOOR)
        await host.machines().Stop(door, timeout=TIMEOUT_S)
        assert (await in_state(jobs, job)).state == pb.JOB_STATE_FAILED


UNCONFIRMED = "the machine was asked and has not reported its state"


async def until_moving(host: JobHost) -> None:
    """Wait until the machine is as fast as it gets, which its reports say."""
    await until_state(host, "Run")
    request = serial.WatchMachineRequest(port_id="laser")
    watch = host.machines().WatchMachine(request, timeout=TIMEOUT_S)
    while (await read(watch)).report.feed < 599:
        pass
    watch.cancel()


async def until_state(host: JobHost, state: str) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while (await port_of(host)).machine_state != state:  # noqa: ASYNC110  # nothing tells
            await asyncio.sleep(0.02)


async def test_a_line_that_the_firmware_rejects_ends_it_by_name(tmp_path: Path) -> None:
    async with job_host(tmp_path) as host:
        jobs = host.jobs()
        job = await enqueued(jobs, b"G90\nG1 X1 F100\nG1 X2\nG77\nG1 X3\n")
        code, said = await refusal(start(jobs, job))
        assert code is grpc.StatusCode.FAILED_PRECONDITION
        assert f"job {job.job_id} has 1 error, the first: line 4: " in said
        await start(jobs, job, despite_errors=True)
        ended = await in_state(jobs, job)
        assert ended.state == pb.JOB_STATE_FAILED
        assert "error:20" in ended.state_reason
        assert "at line 4: G77" in ended.state_reason
        assert ended.progress.acknowledged_lines == 3
        await start(jobs, await enqueued(jobs))


async def test_a_queue_advances_only_if_that_was_asked_for(tmp_path: Path) -> None:
    async with job_host(tmp_path) as host:
        jobs = host.jobs()
        first, second, third = [await enqueued(jobs) for _ in range(3)]
        await start(jobs, first)
        await in_state(jobs, first, pb.JOB_STATE_FINISHED)
        still = await until_job(jobs, second.job_id, lambda _: True)
        assert still.state == pb.JOB_STATE_QUEUED
        await start(jobs, second, auto_advance=True)
        done = await in_state(jobs, third, pb.JOB_STATE_FINISHED)
        assert done.auto_advance


async def test_a_kill_of_the_job_service_leaves_it_interrupted_and_the_machine_held(
    tmp_path: Path,
) -> None:
    async with job_host(tmp_path) as host:
        jobs = host.jobs()
        # A line a second, since progress is noted that often.
        job = await started(jobs, LONG.replace(b"X100 ", b"X10 "))
        await until_job(jobs, job.job_id, lambda job: job.progress.acknowledged_lines > 20)
        assert host.job is not None
        host.job.stop(signal.SIGKILL)
        machines = host.machines()

        async def is_held() -> bool:
            request = serial.GetPortRequest(port_id="laser")
            port = (await machines.GetPort(request, timeout=TIMEOUT_S)).port
            return bool(port.held or port.latched)

        async with asyncio.timeout(TIMEOUT_S):
            while not await is_held():  # noqa: ASYNC110  # nothing tells
                await asyncio.sleep(0.05)
        host.start_job()
        ended = await in_state(host.jobs(), job)
        assert ended.state == pb.JOB_STATE_INTERRUPTED
        assert ended.state_reason == "the job service ended while the job ran"
        assert ended.progress.acknowledged_lines > 3


async def test_a_kill_of_the_serial_service_interrupts_it(tmp_path: Path) -> None:
    async with job_host(tmp_path) as host:
        jobs = host.jobs()
        job = await started(jobs)
        assert host.serial is not None
        host.serial.stop(signal.SIGKILL)
        await in_state(jobs, job, pb.JOB_STATE_HELD, *ENDED)
        host.start_serial()
        ended = await in_state(jobs, job)
        assert ended.state in {pb.JOB_STATE_INTERRUPTED, pb.JOB_STATE_FAILED}
        assert ended.state_reason


async def test_the_end_of_the_job_service_brings_the_machine_to_rest(tmp_path: Path) -> None:
    async with job_host(tmp_path) as host:
        jobs = host.jobs()
        job = await started(jobs)
        assert host.job is not None
        assert host.job.stop() == 0
        assert "Traceback" not in host.job.output
        host.start_job()
        ended = await in_state(host.jobs(), job)
        assert ended.state == pb.JOB_STATE_INTERRUPTED
        assert ended.state_reason == "the job service was stopped"


async def test_a_port_in_use_is_named_with_who_uses_it(tmp_path: Path) -> None:
    async with job_host(tmp_path) as host:
        jobs = host.jobs()
        job = await enqueued(jobs)
        session = host.machines().Session(timeout=TIMEOUT_S)
        await session.write(
            serial.SessionRequest(
                open=serial.Open(
                    port_id="laser", mode=serial.SESSION_MODE_CONTROL, client_name="LightBurn"
                )
            )
        )
        await read(session)
        code, said = await refusal(start(jobs, job))
        assert code is grpc.StatusCode.FAILED_PRECONDITION
        assert "port 'laser' is in use by" in said
        assert "(LightBurn)" in said
        session.cancel()
        still = await until_job(jobs, job.job_id, lambda _: True)
        assert still.state == pb.JOB_STATE_QUEUED


async def test_a_missing_file_is_reported_at_the_start(tmp_path: Path) -> None:
    async with job_host(tmp_path) as host:
        jobs = host.jobs()
        job = await enqueued(jobs)
        for path in (host.folder / "files").iterdir():
            path.unlink()
        code, said = await refusal(start(jobs, job))
        assert code is grpc.StatusCode.NOT_FOUND
        assert "is not on this host: upload it again" in said


async def test_a_job_begins_with_a_line_after_its_modes_were_set(tmp_path: Path) -> None:
    async with job_host(tmp_path) as host:
        jobs = host.jobs()
        job = await enqueued(jobs, first_line=4)
        await start(jobs, job)
        done = await in_state(jobs, job)
        assert done.state == pb.JOB_STATE_FINISHED, done.state_reason
        assert done.progress.executed_lines == 5


async def test_an_attended_job_is_held_when_nobody_watches(tmp_path: Path) -> None:
    async with job_host(tmp_path, more="[jobs]\nattended_s = 1.0\n") as host:
        jobs = host.jobs()
        watch = host.jobs().WatchJobs(pb.WatchJobsRequest(), timeout=TIMEOUT_S)
        job = await started(jobs, attended=True)
        await read(watch)
        watch.cancel()
        held = await in_state(jobs, job, pb.JOB_STATE_HELD)
        assert held.state_reason == "nobody has watched for 1 s"


async def test_analysis_and_preview_of_a_file_on_the_host(tmp_path: Path) -> None:
    async with job_host(tmp_path) as host:
        jobs = host.jobs()
        job = await enqueued(jobs, PROGRAM)
        asked = pb.AnalyseRequest(sha256=job.file.sha256, port_id="laser")
        call = jobs.Analyse(asked, timeout=TIMEOUT_S)
        answer = await read(call)
        while not answer.HasField("analysis"):
            answer = await read(call)
        assert answer.analysis.file.lines == 1200
        assert answer.analysis.duration.seconds > 0
        assert answer.analysis.box.max_x_mm == 39
        assert not answer.analysis.has_machine_settings
        await start(jobs, job)
        call = jobs.Analyse(asked, timeout=TIMEOUT_S)
        while not answer.analysis.has_machine_settings:
            answer = await read(call)
        assert answer.analysis.travel.max_x_mm > 100
        call = jobs.GetPreview(
            pb.GetPreviewRequest(sha256=job.file.sha256, width_px=300), timeout=TIMEOUT_S
        )
        picture = b""
        while (piece := await call.read()) is not grpc.aio.EOF:
            picture += piece.data
        assert picture.startswith(b"\x89PNG")
        assert not list(host.folder.glob("preview-*"))


@pytest.mark.parametrize("what", ["hold", "resume"])
async def test_a_job_that_does_not_run_is_neither_held_nor_resumed(
    tmp_path: Path, what: str
) -> None:
    async with job_host(tmp_path) as host:
        jobs = host.jobs()
        job = await enqueued(jobs, SHORT)
        if what == "hold":
            call = jobs.Hold(pb.HoldRequest(job_id=job.job_id), timeout=TIMEOUT_S)
        else:
            request = pb.ResumeRequest(job_id=job.job_id, hold_number=1)
            call = jobs.Resume(request, timeout=TIMEOUT_S)
        code, said = await refusal(call)
        assert code is grpc.StatusCode.FAILED_PRECONDITION
        assert said.startswith(f"job {job.job_id} is queued")


POLICY = """
[[grants]]
who = ["operator"]
rights = ["control", "admin"]
[[grants]]
who = ["anna"]
rights = ["control"]
"""


async def test_a_job_is_held_when_its_submitter_loses_the_right(tmp_path: Path) -> None:
    folder = tmp_path / "config" / "usbshare"
    folder.mkdir(mode=0o700, parents=True)
    (folder / "policy.toml").write_text(POLICY)
    async with job_host(tmp_path) as host:
        anna = host.jobs(enrolled(host, "anna"))
        job = await enqueued(anna, LONG)
        jobs = host.jobs()
        await start(jobs, job)
        await until_job(jobs, job.job_id, lambda job: job.progress.acknowledged_lines > 3)
        (folder / "policy.toml").write_text(POLICY.replace("anna", "nobody"))
        held = await in_state(jobs, job, pb.JOB_STATE_HELD)
        assert held.state_reason.startswith("anna may not control port 'laser'")
        request = pb.ResumeRequest(job_id=job.job_id, hold_number=held.hold_number)
        code, said = await refusal(jobs.Resume(request, timeout=TIMEOUT_S))
        assert code is grpc.StatusCode.FAILED_PRECONDITION
        assert "belongs to anna, who may no longer run it" in said
        await resume_machine(host)  # beside job-svc
        again = lambda job: job.hold_number > held.hold_number  # noqa: E731
        held = await until_job(jobs, job.job_id, again)
        assert held.state_reason.startswith("anna may not control port 'laser'")
        request = pb.ResumeRequest(job_id=job.job_id, hold_number=held.hold_number)
        (folder / "policy.toml").write_text(POLICY)
        async with asyncio.timeout(TIMEOUT_S):
            while (await resumed(jobs, request)) is None:  # noqa: ASYNC110  # nothing tells
                await asyncio.sleep(0.1)


async def resume_machine(host: JobHost) -> None:
    """Resume the machine from the hold that is seen, as `stop --resume` does."""
    port = await port_of(host)
    resume = serial.StopRequest(
        port_id="laser",
        action=serial.STOP_ACTION_RESUME,
        epoch=port.epoch,
        hold_number=port.hold_number,
    )
    await host.machines().Stop(resume, timeout=TIMEOUT_S)


async def resumed(jobs: Any, request: pb.ResumeRequest) -> pb.Job | None:
    """Return the job that goes on, None while that is refused."""
    try:
        reply: pb.ResumeResponse = await jobs.Resume(request, timeout=TIMEOUT_S)
    except grpc.aio.AioRpcError:
        return None
    return reply.job


async def test_a_policy_can_deny_the_job_service_itself(tmp_path: Path) -> None:
    folder = tmp_path / "config" / "usbshare"
    folder.mkdir(mode=0o700, parents=True)
    (folder / "policy.toml").write_text('jobs = "granted"\n' + POLICY)
    async with job_host(tmp_path) as host:
        jobs = host.jobs()
        await upload(jobs, SHORT)
        request = pb.EnqueueRequest(port_id="laser", sha256=sha256(SHORT).digest())
        code, said = await refusal(jobs.Enqueue(request, timeout=TIMEOUT_S))
        assert code is grpc.StatusCode.UNAVAILABLE
        assert said.startswith("the ports of this host are unknown: job-svc may not view")


def enrolled(host: JobHost, name: str) -> Path:
    """Return the bundle of another identity of the site."""
    site = ensure_site(host.home / "config" / "usbshare", host_names())
    return write_bundle(site, name, host.home / f"{name}.pem")


async def test_a_device_that_is_unplugged_interrupts_the_job(tmp_path: Path) -> None:
    link = tmp_path / "tty-laser"
    words = ["serial-svc", "simulate", "grbl", "--pty", str(link)]
    simulator = Process(words, environment(tmp_path))
    try:
        simulator.wait_for("ready")
        ports = f'[ports.laser]\nsource = "{link}"\nprofile = "grbl"\n'
        async with job_host(tmp_path, ports=ports) as host:
            jobs = host.jobs()
            waiting = await enqueued(jobs)
            job = await started(jobs, priority=1)
            simulator.stop(signal.SIGKILL)
            ended = await in_state(jobs, job)
            assert ended.state == pb.JOB_STATE_INTERRUPTED, ended.state_reason
            assert "device was lost" in ended.state_reason
            still = await until_job(jobs, waiting.job_id, lambda _: True)
            assert still.state == pb.JOB_STATE_QUEUED
    finally:
        simulator.stop()


async def test_a_host_without_room_refuses_uploads_and_runs_on(tmp_path: Path) -> None:
    more = "[files]\nmax_bytes = 1000000\nmax_file_bytes = 1000000\n"
    async with job_host(tmp_path, more=more) as host:
        jobs = host.jobs()
        job = await started(jobs)
        big = b"G1 X1 Y2\n" * 110_000
        code, said = await refusal(upload(jobs, big))
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "[files] max_bytes); delete jobs" in said
        before = (await until_job(jobs, job.job_id, lambda _: True)).progress.acknowledged_lines
        await until_job(jobs, job.job_id, lambda job: job.progress.acknowledged_lines > before)
