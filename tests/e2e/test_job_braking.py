"""A machine that loses its cable or its service while it still brakes: nobody sets it going again.

It brakes for seconds here, by a hold, a safety door, a job's hold, or behind a resume that came too
early.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import grpc
import pytest

from fakes.job_faults import PORT, FaultyHost, faulty_host, program_bytes
from fakes.job_host import TIMEOUT_S, enqueued, until_job
from fakes.waiting import until
from usbshare.job.v1 import job_pb2 as pb
from usbshare.serial.v1 import serial_pb2 as serial

pytestmark = pytest.mark.apart

# From 50 mm/s at 20 mm/s²: 2.5 s to rest.
BRAKING_S = 2.5
PROGRAM = b"$120=20\n$121=20\nG90 G21\nM4 S300\n" + b"".join(
    b"G1 X%d F3000 S%d\n" % (each % 2 * 300, 200 + each) for each in range(1, 60)
)
BRAKES_BY = (b"!", b"\x84")
RESUME = b"~"


async def hold(faulty: FaultyHost, _: pb.Job) -> None:
    await stop(faulty, serial.STOP_ACTION_HOLD)


async def door(faulty: FaultyHost, _: pb.Job) -> None:
    await stop(faulty, serial.STOP_ACTION_SAFETY_DOOR)


async def hold_of_job(faulty: FaultyHost, job: pb.Job) -> None:
    await faulty.host.jobs().Hold(pb.HoldRequest(job_id=job.job_id), timeout=TIMEOUT_S)


Brake = Callable[[FaultyHost, pb.Job], Awaitable[None]]
BRAKES: list[Brake] = [hold, door, hold_of_job]


async def unplug(faulty: FaultyHost) -> None:
    faulty.cable.unplug()


async def plug_in(faulty: FaultyHost) -> None:
    faulty.cable.plug_in()


async def kill_serial(faulty: FaultyHost) -> None:
    assert faulty.host.serial is not None
    faulty.host.serial.stop(signal.SIGKILL)


async def start_serial(faulty: FaultyHost) -> None:
    await asyncio.to_thread(faulty.host.start_serial)


async def kill_both(faulty: FaultyHost) -> None:
    assert faulty.host.job is not None
    faulty.host.job.stop(signal.SIGKILL)
    await kill_serial(faulty)


async def start_both(faulty: FaultyHost) -> None:
    await start_serial(faulty)
    await asyncio.to_thread(faulty.host.start_job)


Step = Callable[[FaultyHost], Awaitable[None]]
FAULTS: dict[str, tuple[Step, Step]] = {
    "unplugged": (unplug, plug_in),
    "serial-svc killed": (kill_serial, start_serial),
    "both killed": (kill_both, start_both),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("is_resumed", [False, True], ids=["held", "resumed too early"])
async def test_a_machine_that_brakes_stays_where_it_comes_to_rest(
    tmp_path: Path, fault: str, is_resumed: bool
) -> None:
    begin, end = FAULTS[fault]
    async with faulty_host(tmp_path) as faulty:
        for number, brake in enumerate(BRAKES):
            job, since = await braking(faulty, brake)
            if is_resumed:  # its service waits for the rest, to write it again
                resuming = asyncio.ensure_future(resume(faulty, await faulty.port()))
                await until(partial(has_resume, faulty, since))
            await begin(faulty)
            fault_at = time.monotonic()
            if number % 2:  # what it is back for has come to rest by then
                await until(partial(has_passed, fault_at + BRAKING_S + 1))
            back_at = time.monotonic()
            await end(faulty)
            if is_resumed:
                await resuming
            await comes_to_rest(faulty, job, back_at)
            await faulty.make_ready()


def has_resume(faulty: FaultyHost, since: float) -> bool:
    return RESUME in received(faulty, since)


def has_passed(at: float) -> bool:
    return time.monotonic() > at


async def braking(faulty: FaultyHost, brake: Brake) -> tuple[pb.Job, float]:
    """Have a job whose machine brakes from its full speed; return when that job began."""
    jobs, since = faulty.host.jobs(), time.monotonic()
    job = await enqueued(jobs, PROGRAM)
    await jobs.Start(pb.StartRequest(job_id=job.job_id), timeout=TIMEOUT_S)
    await until(lambda: b"S201" in received(faulty, since), TIMEOUT_S)
    moves_at = time.monotonic()
    await until(lambda: time.monotonic() > moves_at + BRAKING_S)
    begun = asyncio.ensure_future(brake(faulty, job))
    await until(lambda: any(each in received(faulty, since) for each in BRAKES_BY), TIMEOUT_S)
    await begun
    return job, since


async def comes_to_rest(faulty: FaultyHost, job: pb.Job, back_at: float) -> None:
    """Whoever resumes it by whichever way, it is reset and latched, and nothing more is burnt."""
    jobs = faulty.host.jobs()
    async with asyncio.timeout(TIMEOUT_S):
        while b"\x18" not in received(faulty, back_at):
            with suppress(grpc.aio.AioRpcError):
                port = await faulty.port()
                assert await resume(faulty, port) != ""
                assert await by_realtime(faulty, port) != ""
                request = pb.ResumeRequest(job_id=job.job_id, hold_number=port.hold_number)
                await jobs.Resume(request, timeout=TIMEOUT_S)
                raise AssertionError("a job was resumed")
            await asyncio.sleep(0.05)
    ended = await until_job(jobs, job.job_id, lambda job: job.state == pb.JOB_STATE_INTERRUPTED)
    assert ended.state_reason
    assert (await faulty.port()).latch.cause == serial.LATCH_CAUSE_JOB_LOST
    came = received(faulty, back_at)
    assert RESUME not in came, came
    assert program_bytes(faulty.machine, back_at, time.monotonic()).strip() == b""
    rested_at = faulty.machine.arrivals(b"\x18")[-1]
    assert faulty.machine.beam_on_between(rested_at, time.monotonic()) == 0


async def stop(faulty: FaultyHost, action: serial.StopAction.ValueType) -> None:
    request = serial.StopRequest(port_id=PORT, action=action)
    await faulty.host.machines().Stop(request, timeout=TIMEOUT_S)


async def resume(faulty: FaultyHost, port: serial.Port) -> str:
    """Resume what is seen; return why not."""
    request = serial.StopRequest(
        port_id=PORT,
        action=serial.STOP_ACTION_RESUME,
        epoch=port.epoch,
        hold_number=port.hold_number,
    )
    return await why_not(faulty.host.machines().Stop(request, timeout=TIMEOUT_S))


async def by_realtime(faulty: FaultyHost, port: serial.Port) -> str:
    request = serial.SendRealtimeRequest(port_id=PORT, data=RESUME, epoch=port.epoch)
    return await why_not(faulty.host.machines().SendRealtime(request, timeout=TIMEOUT_S))


async def why_not(call: Awaitable[object]) -> str:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return str(error.details())
    return ""


def received(faulty: FaultyHost, since: float) -> bytes:
    entries = faulty.machine.entries()
    return b"".join(bytes.fromhex(e["rx"]) for e in entries if "rx" in e and e["t"] >= since)
