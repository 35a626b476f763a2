"""The machine of a job that ended is held and reset by whichever way gets there."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from fakes.remote import REMOTE
from usbshare.base.errors import DeviceError
from usbshare.job_svc.run import motion_end as module
from usbshare.job_svc.run.job_run import JobRun
from usbshare.job_svc.run.motion_end import end_motion
from usbshare.job_svc.run.program import Program
from usbshare.job_svc.storage.job import Job, Person, StoredFile
from usbshare.line.machine_report import MachineReport
from usbshare.line.profiles import GRBL, MARLIN, Profile

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
JOB = Job(1, "laser", "part", StoredFile("ab" * 32, 1, 1), Person("anna"), NOON)
POLLS = b"?"


class Acts:
    """Calls beside the session, some of which do not get there."""

    def __init__(self, *failing: str) -> None:
        self.failing = failing
        self.done: list[str] = []

    async def hold(self, port_id: str, reason: str) -> None:
        self._do("hold")

    async def reset(self, port_id: str, reason: str) -> None:
        self._do("reset")

    def _do(self, what: str) -> None:
        if what in self.failing:
            raise DeviceError("serial-svc: no answer")
        self.done.append(what)


class Session:
    """The job's own session, whose machine rests."""

    def __init__(self, profile: Profile) -> None:
        self.is_connected = True
        self.sent = b""
        self.run = JobRun(JOB, Program(Path("x")), cast(Any, None))
        self.run.port = replace(REMOTE, profile=profile)

    async def send(self, line: bytes) -> int:
        raise AssertionError(f"{line!r} was sent after the end")

    def realtime(self, data: bytes) -> bool:
        self.sent += data.replace(POLLS, b"")
        self.run.machine_reported(MachineReport("Hold", substate=0))
        return True


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REST_LOOK_S", 0.0)


@pytest.mark.parametrize(
    ("failing", "done", "by_session"),
    [
        ((), ["hold", "reset"], b""),
        (("hold",), ["reset"], b""),
        (("reset",), ["hold"], b"\x18"),
        (("hold", "reset"), [], b"\x18"),
    ],
)
async def test_a_way_that_fails_does_not_keep_the_machine_going(
    failing: tuple[str, ...], done: list[str], by_session: bytes
) -> None:
    acts, session = Acts(*failing), Session(GRBL)
    await end_motion(acts, session.run, session)
    assert (acts.done, session.sent) == (done, by_session)


async def test_marlin_is_stopped_by_its_own_line() -> None:
    acts, session = Acts("reset"), Session(MARLIN)
    await end_motion(acts, session.run, session)
    assert session.sent == b"M112\n"
