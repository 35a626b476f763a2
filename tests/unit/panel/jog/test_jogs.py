from __future__ import annotations

import asyncio
import logging
from typing import Any, cast

import pytest

from usbshare.base.errors import WrongStateError
from usbshare.panel.jog.jogs import Jog, Jogs
from usbshare.panel.jog.lease import Lease
from usbshare.panel.jog.path import Direction
from usbshare.panel.machines.use import Use


class BrokenControl:
    """Control of a machine that fails as no control should."""

    def __init__(self, error: Exception) -> None:
        self.key = ("shop", "laser")
        self.use = Use()
        self._error = error

    async def take(self, *, is_kept: bool) -> None:
        """Fail."""
        raise self._error


async def jogged(error: Exception) -> tuple[Jog, str]:
    """Jog a machine whose control fails; return the jog, and why it ended."""
    control = cast(Any, BrokenControl(error))
    lease = Lease(object(), 1, asyncio.get_running_loop().time())

    async def cancel() -> None:
        """Do nothing."""

    jog = Jog(control, lease, Direction(1, 0, 0, 100), cancel)
    with pytest.raises(WrongStateError) as refused:
        await Jogs(lambda jog: None).jog(jog)
    await asyncio.sleep(0)
    return jog, str(refused.value)


async def test_a_failure_that_nobody_expected_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    jog, why = await jogged(RuntimeError("a fault of ours"))
    assert "a fault of ours" not in why
    assert "log says how" in why
    assert jog.lease.is_over
    (record,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert "shop/laser" in record.getMessage()
    assert record.exc_info is not None


async def test_a_refusal_is_not(caplog: pytest.LogCaptureFixture) -> None:
    _, why = await jogged(WrongStateError("control is being released"))
    assert "released" in why
    assert not [each for each in caplog.records if each.levelno == logging.ERROR]
