"""Waits until a machine that is controlled is at rest."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from usbshare.base.errors import WrongStateError
from usbshare.line.machine_report import MachineReport
from usbshare.panel.machines.control import Control

LOOK_S = 0.05
# Beside the network: the serial line, and the buffers of its driver.
CROSSING_S = 0.1
_NOT_BY_ITSELF = frozenset({"Alarm", "Hold", "Door"})
_RESET = frozenset({"Idle", "Alarm", "Sleep", "Check"})
_AT_REST = frozenset({"Hold", "Door", "Idle", "Alarm"})


async def until_idle(control: Control, wait_s: float) -> None:
    """Wait until the machine is idle; WrongStateError says what it reports instead."""
    clock = asyncio.get_running_loop().time
    end = clock() + wait_s
    while (report := await control.fresh_report()).state != "Idle":
        if report.state in _NOT_BY_ITSELF or clock() >= end:
            raise WrongStateError(f"the machine is not idle: it reports {report.state}")
        await asyncio.sleep(LOOK_S)


async def report_of_now(control: Control) -> MachineReport:
    """Return a report of after what was written now; DeviceError where none comes.

    One that began before that has come by then.
    """
    await crossed(control)
    return await control.fresh_report()


async def crossed(control: Control) -> None:
    """Wait until what was written now is at the machine, and what it said before is here."""
    await asyncio.sleep(control.round_trip_s + CROSSING_S)


async def until_held(control: Control, wait_s: float) -> None:
    """Wait until a hold has brought the machine to rest; WrongStateError where it does not."""
    await _until(control, wait_s, lambda report: report.state in _AT_REST and not report.substate)


async def until_reset(control: Control, wait_s: float) -> None:
    """Wait until a reset has ended what the machine did; WrongStateError where it has not."""
    await _until(control, wait_s, lambda report: report.state in _RESET)


async def _until(control: Control, wait_s: float, holds: Callable[[MachineReport], bool]) -> None:
    """Wait until the machine reports something after what was written now."""
    clock = asyncio.get_running_loop().time
    end = clock() + wait_s
    report = await report_of_now(control)
    while not holds(report):
        if clock() >= end:
            raise WrongStateError(f"the machine is not at rest: it reports {report.state}")
        await asyncio.sleep(LOOK_S)
        report = await control.fresh_report()
