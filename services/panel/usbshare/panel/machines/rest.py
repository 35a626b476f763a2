"""Waits until a machine that is controlled is at rest."""

from __future__ import annotations

import asyncio

from usbshare.base.errors import WrongStateError
from usbshare.panel.machines.control import Control

LOOK_S = 0.05
_NOT_BY_ITSELF = frozenset({"Alarm", "Hold", "Door"})
_AT_REST = frozenset({"Hold", "Door", "Idle", "Alarm"})


async def until_idle(control: Control, wait_s: float) -> None:
    """Wait until the machine is idle; WrongStateError says what it reports instead."""
    clock = asyncio.get_running_loop().time
    end = clock() + wait_s
    while (report := await control.fresh_report()).state != "Idle":
        if report.state in _NOT_BY_ITSELF or clock() >= end:
            raise WrongStateError(f"the machine is not idle: it reports {report.state}")
        await asyncio.sleep(LOOK_S)


async def until_held(control: Control, wait_s: float) -> None:
    """Wait until a hold has brought the machine to rest; WrongStateError where it does not."""
    clock = asyncio.get_running_loop().time
    end = clock() + wait_s
    while True:
        report = await control.fresh_report()
        if report.state in _AT_REST and not report.substate:
            return
        if clock() >= end:
            raise WrongStateError(f"the machine is not at rest: it reports {report.state}")
        await asyncio.sleep(LOOK_S)
