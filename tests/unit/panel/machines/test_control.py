from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from fakes.waiting import until
from usbshare.base.errors import WrongStateError
from usbshare.line.profiles import GRBL
from usbshare.panel.machines import motion
from usbshare.panel.machines.console import Console
from usbshare.panel.machines.control import FRAMING, HOMING, Control


class Opening(Control):
    """Control of a machine whose session opens once it is let; `written` is what it got."""

    def __init__(self) -> None:
        owner: Any = SimpleNamespace(control_changed=lambda control: None)
        super().__init__(("shop", "laser"), owner, Console(), "test")
        self.opens = asyncio.Event()
        self.written: list[bytes] = []

    async def _open(self, *, from_holder: bool) -> None:
        await self.opens.wait()
        self._session = cast(Any, SimpleNamespace(id="1", write=self.written.append))
        port = {"latched": False, "latch": None, "hold": None, "state": "open", "reason": ""}
        self.port = cast(Any, SimpleNamespace(profile=GRBL, epoch=1, **port))


async def resumed() -> None:
    """Do nothing."""


async def test_a_line_that_is_cancelled_while_control_is_taken_is_not_sent() -> None:
    control = Opening()
    line = asyncio.create_task(motion.console_line(control, "G0 X1", resumed))
    await asyncio.sleep(0)
    control.exchange.call_off()
    control.opens.set()
    done, _ = await asyncio.wait([line], timeout=1)
    line.cancel()
    assert control.written == []
    assert done
    with pytest.raises(WrongStateError, match="cancelled"):
        line.result()


async def test_a_line_cancelled_before_its_reply_is_not_reported_as_done() -> None:
    """Of a pulse or a lit frame the line after a question would be the beam."""
    control = Opening()
    control.opens.set()
    asked = asyncio.create_task(control.send("$G"))
    await until(lambda: control.written)
    control.exchange.call_off()
    control.session_said(b"[GC:G0 G54]\r\nok\r\n")
    with pytest.raises(WrongStateError, match="cancelled"):
        await asked


@pytest.mark.parametrize("line", ["$H", " $ h ", "$HX"])
async def test_a_line_that_homes_is_homing_until_its_reply(line: str) -> None:
    """GRBL reports nothing meanwhile, and its last report may say that it jogs."""
    control = Opening()
    control.opens.set()
    homing = asyncio.create_task(motion.console_line(control, line, resumed))
    await until(lambda: control.written)
    assert control.activity == HOMING
    control.session_said(b"ok\r\n")
    await homing
    assert control.activity == ""


async def test_a_line_that_waits_for_its_turn_is_not_shown_as_current() -> None:
    control = Opening()
    control.opens.set()
    with control.doing(FRAMING):
        frame = asyncio.create_task(control.send("G1 X1"))
        await until(lambda: control.written)
        homing = asyncio.create_task(motion.console_line(control, "$H", resumed))
        await asyncio.sleep(0)
        assert control.activity == FRAMING
        control.session_said(b"ok\r\n")
        await frame
        await until(lambda: len(control.written) == 2)
    assert control.activity == HOMING
    control.session_said(b"ok\r\n")
    await homing
