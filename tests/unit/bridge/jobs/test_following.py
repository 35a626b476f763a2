"""Jobs are followed over links that come and go."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from fakes.remote_jobs import JOB
from usbshare.base.backoff import Backoff
from usbshare.base.errors import ConnectionRefusedByPeerError, NotFoundError, UsbshareError
from usbshare.bridge.jobs import following
from usbshare.bridge.jobs.following import follow_job, follow_queue
from usbshare.client.jobs.messages import RemoteJob

RUNNING = replace(JOB, state="running", place=0)
FINISHED = replace(RUNNING, state="finished")
GONE = ConnectionRefusedByPeerError("the host is gone")
Step = RemoteJob | UsbshareError


class Host:
    """Answers `get` with the first steps, and each watch with its own list of them."""

    def __init__(self, got: Sequence[Step], *watches: Sequence[Step]) -> None:
        self._got = deque(got)
        self._watches = deque(watches)

    async def get(self, job_id: int) -> RemoteJob:
        return self._step(self._got.popleft() if len(self._got) > 1 else self._got[0])

    async def list_jobs(self, port_id: str) -> list[RemoteJob]:
        return [await self.get(0)]

    async def watch(self, port_id: str) -> AsyncGenerator[tuple[RemoteJob, bool], None]:
        for step in self._watches.popleft() if self._watches else ():
            await asyncio.sleep(0)
            job = self._step(step)
            yield job, job.has_ended
        await asyncio.Event().wait()

    @staticmethod
    def _step(step: Step) -> RemoteJob:
        if isinstance(step, UsbshareError):
            raise step
        return step


class Shown:
    """What was shown of one job, and told of its link."""

    def __init__(self) -> None:
        self.states: list[str] = []
        self.cuts: list[str] = []

    async def follow(self, host: Any) -> RemoteJob:
        return await follow_job(
            host, JOB.id, lambda job: self.states.append(job.state), self.cuts.append
        )


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Backoff, "next_s", lambda _: 0.0)


async def test_a_job_is_followed_to_its_end() -> None:
    shown = Shown()
    other = replace(FINISHED, id=99)
    found = await shown.follow(Host([JOB], [other, RUNNING, FINISHED]))
    assert found.state == "finished"
    assert shown.states[0] == "queued"
    assert shown.states[-1] == "finished"


async def test_a_job_that_has_ended_is_shown_once() -> None:
    shown = Shown()
    await shown.follow(Host([FINISHED]))
    assert shown.states == ["finished"]


async def test_a_link_that_is_lost_ends_no_watching() -> None:
    shown = Shown()
    await shown.follow(Host([JOB, GONE, GONE, FINISHED], [RUNNING, GONE]))
    assert shown.cuts == [str(GONE)] * 3
    assert shown.states[-1] == "finished"


async def test_an_end_that_no_watch_reported_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "LOOK_S", 0.01)
    shown = Shown()
    await shown.follow(Host([RUNNING, RUNNING, FINISHED], []))
    assert shown.states[-1] == "finished"


@pytest.mark.parametrize("error", [GONE, NotFoundError("there is no job 17 here")])
async def test_a_first_failure_is_reported_at_once(error: UsbshareError) -> None:
    with pytest.raises(type(error)):
        await Shown().follow(Host([error]))


async def test_a_job_that_is_deleted_meanwhile_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "LOOK_S", 0.01)
    with pytest.raises(NotFoundError):
        await Shown().follow(Host([JOB, NotFoundError("there is no job 17 here")]))


class SilentHost(Host):
    """Answers `get` once, and then only when it may."""

    def __init__(self, job: RemoteJob) -> None:
        super().__init__([job])
        self.may_answer = asyncio.Event()
        self._asked = 0

    async def get(self, job_id: int) -> RemoteJob:
        self._asked += 1
        if self._asked > 1:
            await self.may_answer.wait()
        return await super().get(job_id)


@pytest.mark.parametrize("is_queue", [False, True])
async def test_a_host_that_falls_silent_is_told_of_while_it_is_asked(
    monkeypatch: pytest.MonkeyPatch, is_queue: bool
) -> None:
    monkeypatch.setattr(following, "LOOK_S", 0.01)
    silent: Any = SilentHost(RUNNING)
    is_back, cuts = asyncio.Event(), list[str]()

    def show(_: object) -> None:
        if cuts:
            is_back.set()

    def cut(why: str) -> None:
        cuts.append(why)
        silent.may_answer.set()

    follow = follow_queue(silent, "", show, cut) if is_queue else follow_job(silent, 17, show, cut)
    following_it = asyncio.ensure_future(follow)
    async with asyncio.timeout(30):
        await is_back.wait()
    following_it.cancel()
    await asyncio.gather(following_it, return_exceptions=True)
    assert cuts == ["nothing heard for 2 s"]


async def test_a_queue_is_shown_at_each_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "LOOK_S", 60.0)
    host: Any = Host([JOB], [JOB, replace(JOB, id=18, place=2), replace(FINISHED, id=18)])
    shown: list[list[int]] = []
    enough = asyncio.Event()

    def show(jobs: Sequence[RemoteJob]) -> None:
        shown.append([job.id for job in jobs])
        if len(shown) == 3:
            enough.set()

    following_it = asyncio.create_task(follow_queue(host, "", show, lambda _: None))
    async with asyncio.timeout(30):
        await enough.wait()
    following_it.cancel()
    await asyncio.gather(following_it, return_exceptions=True)
    assert shown == [[17], [17, 18], [17]]
