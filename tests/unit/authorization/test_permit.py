"""A permit's body runs for as long as the right lasts, and ends as cancellation wants it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from fakes.waiting import until
from usbshare.authorization.permit import Permit, Permits
from usbshare.base.errors import PermissionDeniedError

START = datetime(2026, 11, 18, 12, tzinfo=UTC)


class Rights:
    """What a permit asks; says no once it is told to."""

    def __init__(self) -> None:
        self.now = START
        self.refusal = ""
        self.until: datetime | None = None
        self.asked = 0
        self.permits = Permits(lambda: self.now)

    def ask(self) -> datetime | None:
        self.asked += 1
        if self.refusal:
            raise PermissionDeniedError(self.refusal)
        return self.until

    def permit(self) -> Permit:
        return Permit(self.permits, self.ask, self.ask)

    def withdraw(self) -> None:
        self.refusal = "no more"
        self.permits.rules_changed()


@pytest.fixture
def rights() -> Rights:
    return Rights()


async def for_ever() -> None:
    await asyncio.get_running_loop().create_future()


def in_permit(rights: Rights, body: Callable[[], object] = lambda: None) -> asyncio.Task[None]:
    async def run() -> None:
        async with rights.permit():
            body()
            await for_ever()

    return asyncio.create_task(run(), name="in a permit")


async def test_a_body_that_ends_in_time_is_left_alone(rights: Rights) -> None:
    async with rights.permit():
        await asyncio.sleep(0)
        rights.permits.rules_changed()
    assert rights.asked == 2
    assert len(rights.permits) == 0
    rights.withdraw()
    await asyncio.sleep(0)


async def test_a_caller_without_the_right_is_not_admitted(rights: Rights) -> None:
    rights.refusal = "never"
    with pytest.raises(PermissionDeniedError, match="never"):
        async with rights.permit():
            raise AssertionError("the body ran")
    assert len(rights.permits) == 0


async def test_the_body_ends_with_the_right_and_says_why(rights: Rights) -> None:
    task = in_permit(rights)
    await until(lambda: len(rights.permits))
    rights.withdraw()
    with pytest.raises(PermissionDeniedError, match="no more"):
        await task
    assert len(rights.permits) == 0


async def test_the_body_ends_when_its_time_is_over(rights: Rights) -> None:
    rights.until = START + timedelta(minutes=1)
    task = in_permit(rights)
    await until(lambda: len(rights.permits))
    rights.permits.time_passed()
    assert rights.asked == 1, "nothing is asked before the time"
    rights.now, rights.refusal = rights.until, "over"
    rights.permits.time_passed()
    with pytest.raises(PermissionDeniedError, match="over"):
        await task


async def test_a_right_that_is_prolonged_continues(rights: Rights) -> None:
    rights.until = START + timedelta(minutes=1)
    task = in_permit(rights)
    await until(lambda: len(rights.permits))
    rights.now, rights.until = rights.until, START + timedelta(minutes=2)
    rights.permits.time_passed()
    rights.permits.time_passed()
    assert rights.asked == 2
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_another_tasks_cancellation_is_kept(rights: Rights) -> None:
    task = in_permit(rights)
    await until(lambda: len(rights.permits))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(rights.permits) == 0


async def test_a_cancellation_at_the_same_time_is_not_swallowed(rights: Rights) -> None:
    task = in_permit(rights)
    await until(lambda: len(rights.permits))
    task.cancel()
    rights.withdraw()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_of_the_body_precedes_the_withdrawn_permit(rights: Rights) -> None:
    async def run() -> None:
        async with rights.permit():
            try:
                await for_ever()
            finally:
                raise ValueError("cleaning up failed")

    task = asyncio.create_task(run())
    await until(lambda: len(rights.permits))
    rights.withdraw()
    with pytest.raises(ValueError, match="cleaning up failed"):
        await task


async def test_the_task_can_go_on_after_the_refusal(rights: Rights) -> None:
    async def run() -> str:
        try:
            async with rights.permit():
                await for_ever()
        except PermissionDeniedError:
            await asyncio.sleep(0)
        task = asyncio.current_task()
        assert task is not None
        assert not task.cancelling()
        return "went on"

    task = asyncio.create_task(run())
    await until(lambda: len(rights.permits))
    rights.withdraw()
    assert await task == "went on"


async def test_of_two_permits_the_inner_one_decides(rights: Rights) -> None:
    inner = Rights()
    inner.permits = rights.permits
    told: list[str] = []

    async def run() -> None:
        async with rights.permit():
            try:
                async with inner.permit():
                    await for_ever()
            except PermissionDeniedError as error:
                told.append(str(error))
                raise

    task = asyncio.create_task(run())
    await until(lambda: len(rights.permits) == 2)
    inner.refusal = "inner"
    rights.refusal = "outer"
    rights.permits.rules_changed()
    with pytest.raises(PermissionDeniedError, match="inner"):
        await task
    assert told == ["inner"]


async def test_an_outer_permit_ends_too_when_the_inner_refusal_is_put_up_with(
    rights: Rights,
) -> None:
    inner = Rights()
    inner.permits = rights.permits
    put_up_with = asyncio.Event()

    async def run() -> None:
        async with rights.permit():
            try:
                async with inner.permit():
                    await for_ever()
            except PermissionDeniedError:
                put_up_with.set()
            await for_ever()

    task = asyncio.create_task(run())
    await until(lambda: len(rights.permits) == 2)
    inner.refusal, rights.refusal = "inner", "outer"
    rights.permits.rules_changed()
    await put_up_with.wait()
    rights.permits.time_passed()
    with pytest.raises(PermissionDeniedError, match="outer"):
        await task


async def test_each_other_task_is_notified(rights: Rights) -> None:
    tasks = [in_permit(rights) for _ in range(5)]
    await until(lambda: len(rights.permits) == 5)
    rights.withdraw()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(each) for each in results] == [PermissionDeniedError] * 5


async def test_the_outer_permit_waits_while_the_inner_one_ends(rights: Rights) -> None:
    inner = Rights()
    inner.permits = rights.permits

    async def run() -> None:
        async with rights.permit(), inner.permit():
            try:
                await for_ever()
            finally:
                await asyncio.sleep(0)

    task = asyncio.create_task(run())
    await until(lambda: len(rights.permits) == 2)
    inner.refusal, rights.refusal = "inner", "outer"
    rights.permits.rules_changed()
    rights.permits.time_passed()
    rights.permits.rules_changed()
    with pytest.raises(PermissionDeniedError, match="inner"):
        await task
