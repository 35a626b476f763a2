"""A disk without a byte left, under both services' state and audit logs: what runs goes on, a stop
waits for nothing, nothing is damaged, and all works again once there is room.
"""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from fakes.job_host import (
    TIMEOUT_S,
    JobHost,
    enqueued,
    job_host,
    refusal,
    until_job,
    upload,
)
from fakes.processes import Process
from fakes.small_disk import SmallDisk, small_disk
from fakes.waiting import until
from usbshare.job.v1 import job_pb2 as pb
from usbshare.serial.v1 import serial_pb2 as serial

# job-svc leaves 64 MB to others.
DISK_BYTES = 80_000_000
LONG = b"G90 G21\nM4 S300\n" + b"".join(
    b"G1 X%d Y%d F600 S%d\n" % (each % 2 * 5, each % 5, 100 + each % 400) for each in range(2000)
)
OTHER = b"G21\nG90\nG1 X3 Y1 F3000 S100\nM5\n"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "config" / "usbshare" / "state", DISK_BYTES) as made:
        yield made


@pytest.fixture
async def host(tmp_path: Path, disk: SmallDisk) -> AsyncIterator[JobHost]:
    async with job_host(tmp_path, place=disk.place) as made:
        yield made


async def running(jobs: Any) -> pb.Job:
    job = await enqueued(jobs, LONG)
    await jobs.Start(pb.StartRequest(job_id=job.job_id), timeout=TIMEOUT_S)
    return await until_job(jobs, job.job_id, lambda job: job.progress.acknowledged_lines > 3)


async def stop(host: JobHost, action: serial.StopAction.ValueType) -> serial.StopResponse:
    request = serial.StopRequest(port_id="laser", action=action, reason="full disk")
    reply: serial.StopResponse = await host.machines().Stop(request, timeout=TIMEOUT_S)
    return reply


async def port_of(host: JobHost) -> serial.Port:
    request = serial.GetPortRequest(port_id="laser")
    reply: serial.GetPortResponse = await host.machines().GetPort(request, timeout=TIMEOUT_S)
    return reply.port


async def whole(host: JobHost, disk: SmallDisk) -> None:
    """Wait until the record says what the service says; it and the files are never damaged."""
    jobs, folder = host.jobs(), str(disk.folder / "job-svc")
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            history = await jobs.ListHistory(pb.ListHistoryRequest(), timeout=TIMEOUT_S)
            queue = await jobs.ListJobs(pb.ListJobsRequest(), timeout=TIMEOUT_S)
            states = {
                each.job_id: pb.JobState.Name(each.state).removeprefix("JOB_STATE_").lower()
                for each in (*history.jobs, *queue.jobs)
            }
            if not (wrong := await asyncio.to_thread(disk.run, CHECK, folder, json.dumps(states))):
                return
            assert wrong.startswith("the database has"), wrong
            await asyncio.sleep(0.1)


# SQLite resolves links, and so must be where the disk is.
CHECK = """
import json, pathlib, sys
from fakes.job_faults import damage
states = {int(number): state for number, state in json.loads(sys.argv[2]).items()}
print(damage(pathlib.Path(sys.argv[1]), states), end="")
"""


async def test_running_work_continues_and_new_work_is_refused_in_one_line(
    host: JobHost, disk: SmallDisk
) -> None:
    jobs = host.jobs()
    job = await running(jobs)
    disk.fill()
    code, said = await refusal(upload(jobs, OTHER))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    files = disk.folder / "job-svc" / "files"
    assert said.startswith(f"no room for 31 bytes: the disk of {files} has 0 bytes free")
    assert "\n" not in said
    request = pb.EnqueueRequest(sha256=bytes.fromhex(job.file.sha256.hex()), name="again.gcode")
    code, said = await refusal(jobs.Enqueue(request, timeout=TIMEOUT_S))
    assert (code, "\n" in said) == (grpc.StatusCode.UNAVAILABLE, False)
    assert "cannot be stored on this host" in said
    assert str(disk.folder / "job-svc") in said
    assert "(0 bytes free)" in said
    preview = jobs.GetPreview(pb.GetPreviewRequest(sha256=job.file.sha256), timeout=TIMEOUT_S)
    code, said = await refusal(preview.read())
    assert code is grpc.StatusCode.UNAVAILABLE
    assert said.startswith("the preview cannot be drawn: cannot use ")
    assert "(0 bytes free)" in said
    before = (await until_job(jobs, job.job_id, lambda _: True)).progress.acknowledged_lines
    await until_job(jobs, job.job_id, lambda job: job.progress.acknowledged_lines > before + 5)
    held = (await jobs.Hold(pb.HoldRequest(job_id=job.job_id), timeout=TIMEOUT_S)).job
    assert held.state == pb.JOB_STATE_HELD
    resume = pb.ResumeRequest(job_id=job.job_id, hold_number=held.hold_number)
    resumed = (await jobs.Resume(resume, timeout=TIMEOUT_S)).job
    assert resumed.state == pb.JOB_STATE_RUNNING
    disk.free()
    await upload(jobs, OTHER)
    await enqueued(jobs, OTHER)
    await jobs.Cancel(pb.CancelRequest(job_id=job.job_id), timeout=TIMEOUT_S)
    await whole(host, disk)


async def test_a_stop_on_a_full_disk_is_carried_out_and_its_latch_survives_a_kill(
    host: JobHost, disk: SmallDisk
) -> None:
    jobs = host.jobs()
    job = await running(jobs)
    disk.fill()
    stopped = await stop(host, serial.STOP_ACTION_EMERGENCY_STOP)
    assert (stopped.latched, stopped.sent) == (True, b"\x18")
    ended = await until_job(jobs, job.job_id, lambda job: job.state == pb.JOB_STATE_FAILED)
    assert "full disk" in ended.state_reason
    assert host.serial is not None
    await asyncio.sleep(1)  # the latch follows the byte by some milliseconds
    host.serial.stop(signal.SIGKILL)
    await asyncio.to_thread(host.start_serial)
    assert (await port_of(host)).latched
    disk.free()
    rearm = serial.RearmRequest(port_id="laser", epoch=(await port_of(host)).epoch)
    await host.machines().Rearm(rearm, timeout=TIMEOUT_S)
    await whole(host, disk)


async def test_the_audit_log_tells_of_a_stop_on_a_full_disk_once_there_is_room(
    host: JobHost, disk: SmallDisk
) -> None:
    disk.fill()
    await stop(host, serial.STOP_ACTION_EMERGENCY_STOP)
    disk.free()
    log = disk.outside / "audit" / "serial-svc.jsonl"
    await until(lambda: "full disk" in log.read_text())
    verify = Process(["serial-svc", "audit", "verify"], host.environment, disk.place)
    try:
        assert await asyncio.to_thread(verify.wait) == 0, verify.output
    finally:
        verify.stop()


async def test_a_service_that_starts_on_a_full_disk_damages_nothing(
    host: JobHost, disk: SmallDisk
) -> None:
    jobs = host.jobs()
    done = await enqueued(jobs, OTHER)
    assert host.job is not None
    host.job.stop(signal.SIGKILL)
    disk.fill()
    await asyncio.to_thread(host.start_job)
    waiting = await until_job(host.jobs(), done.job_id, lambda _: True)
    assert waiting.state == pb.JOB_STATE_QUEUED
    code, said = await refusal(upload(host.jobs(), LONG))
    assert (code, "\n" in said) == (grpc.StatusCode.RESOURCE_EXHAUSTED, False)
    disk.free()
    await enqueued(host.jobs(), LONG)
    await whole(host, disk)
    assert not list((disk.outside / "job-svc").glob("*.damaged-*"))
