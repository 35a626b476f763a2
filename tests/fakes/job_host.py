"""A host with a simulated laser, its serial service and its job service, as processes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import grpc

from fakes.processes import Place, Process, environment, free_port
from usbshare.job.v1 import job_pb2 as pb
from usbshare.job.v1.job_pb2_grpc import JobServiceStub
from usbshare.rpc.channel import Target, open_channel
from usbshare.rpc.tls import ClientBundle
from usbshare.serial.v1.serial_pb2_grpc import SerialServiceStub

TIMEOUT_S = 60.0
PIECE = 16 * 1024
PROGRAM = b"".join(
    b"G1 X%d Y%d S500 F6000\n" % (each % 40, each // 40 % 40) for each in range(1200)
)
SHORT = b"G21\nG90\nG1 X2 Y1 F3000 S100\nG1 X0 Y0\nM5\n"


@dataclass
class JobHost:
    """Both services, and what talks to them as the operator or as another identity."""

    home: Path
    serial_port: int
    job_port: int
    record: Path
    serial: Process | None = None
    job: Process | None = None
    channels: list[grpc.aio.Channel] = field(default_factory=list)
    place: Place = list

    @property
    def folder(self) -> Path:
        """Where the job service keeps what it keeps."""
        return self.home / "config" / "usbshare" / "state" / "job-svc"

    def start_serial(self) -> None:
        """Run serial-svc until it is ready."""
        self.serial = self._start("serial-svc")

    def start_job(self) -> None:
        """Run job-svc until it is ready."""
        self.job = self._start("job-svc")

    def _start(self, name: str) -> Process:
        words = [name, "--config", str(self.home / "usbshare.toml")]
        process = Process(words, self.environment, self.place)
        process.wait_for(rf"{name} ready at")
        return process

    @property
    def environment(self) -> dict[str, str]:
        """What the services find."""
        folder = str(self.home / "config" / "usbshare")
        return {**environment(self.home), "USBSHARE_HOME": folder}

    def channel(self, port: int, bundle: Path | None = None) -> grpc.aio.Channel:
        """Return a connection of its own, closed at the end."""
        path = bundle or self.home / "config" / "usbshare" / "client.pem"
        made = open_channel(Target("127.0.0.1", port), ClientBundle.load(path))
        self.channels.append(made)
        return made

    def jobs(self, bundle: Path | None = None) -> Any:
        """Return what calls the job service."""
        return JobServiceStub(self.channel(self.job_port, bundle))

    def machines(self, bundle: Path | None = None) -> Any:
        """Return what calls the serial service."""
        return SerialServiceStub(self.channel(self.serial_port, bundle))

    def received(self) -> bytes:
        """Return the bytes that the machine has received, as its record says."""
        return b"".join(data for _, data in self.receptions())

    def receptions(self) -> list[tuple[float, bytes]]:
        """Return when which bytes came to the machine, on the monotonic clock."""
        return receptions(self.record)


def receptions(record: Path, start: int = 0) -> list[tuple[float, bytes]]:
    """Return when which bytes came to a simulated machine, on the monotonic clock.

    `start` is where in its record to begin: between two lines.
    """
    with record.open("rb") as file:
        file.seek(start)
        events = [json.loads(line) for line in file if line.endswith(b"\n")]
    return [(each["t"], bytes.fromhex(each["rx"])) for each in events if "rx" in each]


@asynccontextmanager
async def job_host(
    home: Path, more: str = "", ports: str = "", place: Place = list
) -> AsyncIterator[JobHost]:
    """Run both services on loopback, with one simulated laser unless `ports` says otherwise."""
    host = JobHost(home, free_port(), free_port(), home / "laser.jsonl", place=place)
    laser = f'[ports.laser]\nsource = "sim://grbl?record={host.record}"\nprofile = "grbl"\n'
    (home / "usbshare.toml").write_text(
        f'[service]\nlisten = "127.0.0.1:{host.serial_port}"\n'
        f'[job]\nlisten = "127.0.0.1:{host.job_port}"\n'
        f'[serial]\ntarget = "127.0.0.1:{host.serial_port}"\n'
        f'[tls]\nenrolment = ""\n{ports or laser}{more}'
    )
    host.start_serial()
    try:
        host.start_job()
        yield host
    except BaseException as error:
        for process in (host.serial, host.job):
            if process is not None:
                error.add_note(process.output)
        raise
    finally:
        await asyncio.gather(*(each.close() for each in host.channels))
        for process in (host.job, host.serial):
            if process is not None:
                process.stop()


async def upload(jobs: Any, content: bytes, cut: int | None = None) -> pb.UploadResponse:
    """Send a file; with `cut`, end the stream without a word after so many bytes of it."""
    call = jobs.Upload(timeout=TIMEOUT_S)
    digest = sha256(content).digest()
    begin = pb.UploadBegin(name="part.gcode", size_bytes=len(content), sha256=digest)
    await call.write(pb.UploadRequest(begin=begin))
    answer: pb.UploadResponse = await read(call)
    end = len(content) if cut is None else cut
    for at in range(answer.accepted_offset, end, PIECE):
        piece = pb.UploadPiece(offset=at, data=content[at : min(at + PIECE, end)])
        await call.write(pb.UploadRequest(piece=piece))
    while not answer.HasField("complete") and answer.accepted_offset < end:
        answer = await read(call)
    if cut is None:
        while not answer.HasField("complete"):
            answer = await read(call)
    call.cancel()
    return answer


async def read(call: Any) -> Any:
    """Return the next answer of a stream; raises what it ends with."""
    async with asyncio.timeout(TIMEOUT_S):
        answer = await call.read()
    if answer is grpc.aio.EOF:
        raise AssertionError(f"the stream ended: {await call.code()} {await call.details()}")
    return answer


async def enqueued(jobs: Any, content: bytes = SHORT, **values: Any) -> pb.Job:
    """Have a file and a job of it on the host."""
    await upload(jobs, content)
    request = pb.EnqueueRequest(sha256=sha256(content).digest(), name="part.gcode", **values)
    reply: pb.EnqueueResponse = await jobs.Enqueue(request, timeout=TIMEOUT_S)
    return reply.job


async def until_job(jobs: Any, job_id: int, condition: Callable[[pb.Job], bool]) -> pb.Job:
    """Return a job once it is as wanted."""
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            request = pb.GetJobRequest(job_id=job_id)
            reply: pb.GetJobResponse = await jobs.GetJob(request, timeout=TIMEOUT_S)
            if condition(reply.job):
                return reply.job
            await asyncio.sleep(0.02)


async def refusal(call: Any) -> tuple[grpc.StatusCode, str]:
    """Return with what a call was refused."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code(), str(error.details())
    raise AssertionError("the call was not refused")
