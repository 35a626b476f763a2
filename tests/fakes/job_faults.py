"""Faults of a host that runs jobs, what a person does afterwards, and what the machine recorded."""

from __future__ import annotations

import asyncio
import resource
import signal
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum
from hashlib import sha256
from pathlib import Path
from typing import Any

import grpc

from fakes.cable import Cable
from fakes.job_host import TIMEOUT_S, JobHost, job_host, read
from fakes.machine import Machine, simulated_machine
from fakes.processes import Process
from usbshare.job.v1 import job_pb2 as pb
from usbshare.serial.v1 import serial_pb2 as serial

LINK_TIMEOUT_S, RESUME_WINDOW_S = 1.0, 2.0
# How often the host looks for a device that is gone, at the latest (`docs/safety.md`).
LOOKS_EVERY_S = 1.0
REALTIME = b"?!~\x18\x84"
STOPS = b"!\x18\x84"
PORT = "laser"


class Fault(Enum):
    """What happens to a job."""

    JOB_SERVICE_KILLED = "job-svc killed"
    SERIAL_SERVICE_KILLED = "serial-svc killed"
    UNPLUGGED = "unplugged"
    DISK_FULL = "disk full"
    STOPPED = "stopped"
    HELD_BY_JOB = "held by job-svc"
    HELD_BY_PORT = "held by serial-svc"


class FaultyHost:
    """A host with a machine on a cable; `off_by` is when the beam must be off, if it is known."""

    def __init__(self, host: JobHost, machine: Machine, cable: Cable) -> None:
        self.host = host
        self.machine = machine
        self.cable = cable
        self.off_by: list[float] = []
        self._killed: set[Fault] = set()
        self._carried_before = 0
        self._full_disk: Process | None = None

    def begin(self) -> None:
        """Forget the faults of an earlier case."""
        self.off_by.clear()

    async def strike(self, fault: Fault) -> bool:
        """Have a fault happen; False where it could not, because of an earlier one."""
        match fault:
            case Fault.JOB_SERVICE_KILLED:
                assert self.host.job is not None
                self.host.job.stop(signal.SIGKILL)
                self._killed.add(fault)
                if self._can_act:
                    self.off_by.append(time.monotonic() + LINK_TIMEOUT_S)
            case Fault.SERIAL_SERVICE_KILLED:
                assert self.host.serial is not None
                self.host.serial.stop(signal.SIGKILL)
                self._killed.add(fault)
                # What the service would have done later is not done.
                self.off_by[:] = [each for each in self.off_by if each <= time.monotonic()]
            case Fault.UNPLUGGED:
                self.cable.unplug()
                # A stop that the driver had taken, but that had not left the host yet, is lost with
                # the cable: the machine finishes what it holds (`docs/safety.md`).
                is_stopped = self._has_carried_stop
                self.off_by[:] = [t for t in self.off_by if is_stopped and t <= time.monotonic()]
            case Fault.DISK_FULL:
                assert self.host.job is not None
                if self.host.job.process.poll() is not None:
                    return False
                self._full_disk = self.host.job
                limit_files(self._full_disk, 0)
            case Fault.STOPPED:
                return await self._acts(self._stop(serial.STOP_ACTION_EMERGENCY_STOP))
            case Fault.HELD_BY_PORT:
                return await self._acts(self._stop(serial.STOP_ACTION_HOLD))
            case Fault.HELD_BY_JOB:
                return await self._acts(self._hold())
        return True

    async def repair(self, fault: Fault) -> None:
        """Have what follows a fault by itself: a service is restarted, a cable plugged in."""
        match fault:
            case Fault.JOB_SERVICE_KILLED:
                await asyncio.to_thread(self.host.start_job)
                self._killed.discard(fault)
            case Fault.SERIAL_SERVICE_KILLED:
                await asyncio.to_thread(self.host.start_serial)
                self._killed.discard(fault)
                if self.cable.is_plugged_in:
                    self.off_by.append(time.monotonic())
            case Fault.UNPLUGGED:
                self.cable.plug_in()
                if Fault.SERIAL_SERVICE_KILLED not in self._killed:
                    self.off_by.append(time.monotonic() + LOOKS_EVERY_S)
            case Fault.DISK_FULL:
                full, self._full_disk = self._full_disk, None
                if full is not None and full.process.poll() is None:
                    limit_files(full, resource.RLIM_INFINITY)
            case _:
                pass

    async def make_ready(self) -> None:
        """Stop the machine, re-arm the port and unlock the machine, as a person does."""
        machines = self.host.machines()
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                try:
                    stop = serial.StopRequest(
                        port_id=PORT, action=serial.STOP_ACTION_EMERGENCY_STOP, reason="ready"
                    )
                    stopped = await machines.Stop(stop, timeout=TIMEOUT_S)
                    rearm = serial.RearmRequest(port_id=PORT, epoch=stopped.epoch)
                    await machines.Rearm(rearm, timeout=TIMEOUT_S)
                    await self._unlock(machines)
                    return
                except (grpc.aio.AioRpcError, AssertionError):
                    await asyncio.sleep(0.1)  # the lost session still has the port

    async def port(self) -> serial.Port:
        """Return the machine's port as it is now."""
        request = serial.GetPortRequest(port_id=PORT)
        reply = await self.host.machines().GetPort(request, timeout=TIMEOUT_S)
        port: serial.Port = reply.port
        return port

    @property
    def _can_act(self) -> bool:
        return Fault.SERIAL_SERVICE_KILLED not in self._killed and self.cable.is_plugged_in

    @property
    def _has_carried_stop(self) -> bool:
        """Whether the cable has carried a stop since one was asked for."""
        carried = self.cable.received[self._carried_before :]
        return any(stop in carried for stop in STOPS)

    async def _acts(self, call: Any) -> bool:
        self._carried_before = len(self.cable.received)
        try:
            await call
        except grpc.aio.AioRpcError:
            return False
        self.off_by.append(time.monotonic())
        return True

    async def _stop(self, action: serial.StopAction.ValueType) -> None:
        request = serial.StopRequest(port_id=PORT, action=action, reason="fault")
        await self.host.machines().Stop(request, timeout=TIMEOUT_S)

    async def _hold(self) -> None:
        jobs = self.host.jobs()
        listed = await jobs.ListJobs(pb.ListJobsRequest(), timeout=TIMEOUT_S)
        request = pb.HoldRequest(job_id=listed.jobs[0].job_id, reason="fault")
        await jobs.Hold(request, timeout=TIMEOUT_S)

    async def _unlock(self, machines: Any) -> None:
        session = machines.Session(timeout=TIMEOUT_S)
        begin = serial.Open(port_id=PORT, mode=serial.SESSION_MODE_CONTROL, client_name="unlock")
        await session.write(serial.SessionRequest(open=begin))
        port = (await read(session)).opened.port
        command = serial.Command(id=1, epoch=port.epoch, data=b"$X\n")
        await session.write(serial.SessionRequest(command=command))
        said = b""
        while b"ok" not in said:
            said += (await read(session)).data.data
        await session.write(serial.SessionRequest(close=serial.Close()))
        while (await session.read()) is not grpc.aio.EOF:
            pass


@asynccontextmanager
async def faulty_host(home: Path) -> AsyncIterator[FaultyHost]:
    """Run a machine, its cable and both services."""
    with simulated_machine(home) as machine, Cable(home / "tty-cable", machine.path) as cable:
        ports = (
            f'[ports.{PORT}]\nsource = "{cable.link}"\nprofile = "grbl"\n'
            f"link_timeout_s = {LINK_TIMEOUT_S}\nresume_window_s = {RESUME_WINDOW_S}\n"
        )
        async with job_host(home, ports=ports) as host:
            yield FaultyHost(host, machine, cable)


def limit_files(process: Process, size_bytes: int) -> None:
    """Let no file of a process grow past that: EFBIG where a full disk gives ENOSPC.

    See setrlimit(2), RLIMIT_FSIZE; Python ignores SIGXFSZ.
    """
    _, most = resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE, (size_bytes, most))


def program_bytes(machine: Machine, since: float, until: float) -> bytes:
    """Return what the machine received in that time without real-time bytes."""
    found = (
        bytes.fromhex(each["rx"])
        for each in machine.entries()
        if "rx" in each and since <= each["t"] <= until
    )
    return b"".join(found).translate(None, REALTIME)


def damage(folder: Path, states: dict[int, str]) -> str:
    """Return what is wrong with the database and the files of a job service; empty if nothing."""
    with sqlite3.connect(f"file:{folder / 'jobs.sqlite'}?mode=ro", uri=True) as database:
        (verdict,) = database.execute("PRAGMA integrity_check").fetchone()
        rows = database.execute("SELECT job_id, json_extract(record, '$.state') FROM jobs")
        kept = dict(rows.fetchall())
    database.close()
    if verdict != "ok":
        return str(verdict)
    if kept != states:
        return f"the database has {kept}, the service {states}"
    for path in (folder / "files").glob("*.gcode"):
        if sha256(path.read_bytes()).hexdigest() != path.name.partition("-")[0]:
            return f"{path.name} is damaged"
    return ""
