"""Ends a machine's work: when a person stops it, and before control is released."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from usbshare.base.errors import (
    DeviceError,
    NotSupportedError,
    SessionLostError,
    UsbshareError,
    WrongStateError,
)
from usbshare.line.profiles import GRBL_RESET
from usbshare.panel.machines.console import Origin
from usbshare.panel.machines.control import GIVEN_UP, HOMING, PULSING, Control
from usbshare.panel.machines.gcode import JOG_CANCEL
from usbshare.panel.machines.machine_view import Abilities
from usbshare.panel.machines.rest import report_of_now, until_held, until_reset

HELD_S = 3.0
CANCELLED = "it was cancelled"
# A machine that homes ignores a hold and reports nothing; one that pulses stands still.
_NOT_HELD = frozenset({HOMING, PULSING})
# Anyone's resume would continue what is held.
_UNDER_WAY = frozenset({"Run", "Home", "Hold", "Door"})
_HOLD, _RESET = b"!", bytes((GRBL_RESET,))


async def cancel(control: Control, why: str = CANCELLED) -> None:
    """End motion: a jog at once; anything else is held, and then reset with the beam off.

    Raises SessionLostError where the panel has no control, NotSupportedError where the firmware has
    no such commands: nothing was ended then.
    """
    control.exchange.call_off()
    if not control.is_connected or control.port is None:
        raise SessionLostError("the panel has no control of this machine: press HOLD")
    control.discard()
    if not Abilities(control.port.profile).can_jog:
        raise NotSupportedError("this firmware has no motion that can be cancelled: press HOLD")
    control.realtime(JOG_CANCEL)
    state = "" if control.report is None else control.report.state
    is_asked = bool(control.activity) or control.exchange.is_waiting
    if not is_asked and not await _is_under_way(control):
        return
    control.console.add(Origin.NEWS, f"{control.activity or 'motion'} was ended: {why}")
    if is_asked and state == "Jog" and control.activity not in _NOT_HELD:
        await _cancel_again(control)
        # The report may be older than what came after that jog.
        if not await _is_under_way(control):
            return
    if control.activity not in _NOT_HELD:
        control.realtime(_HOLD)
        with suppress(WrongStateError, DeviceError, SessionLostError):
            await until_held(control, HELD_S)
    with suppress(WrongStateError, DeviceError, SessionLostError):
        control.realtime(_RESET)
        # A host takes a goodbye of a held machine for the end of a job that is not done.
        await until_reset(control, HELD_S)


async def give_up(control: Control, why: str = GIVEN_UP) -> None:
    """End motion, with the beam off before anything else; then release control."""
    with control.use.ending():
        with suppress(UsbshareError):
            await cancel(control, why)
            await _until_done(control)
        await control.release(why)


async def _is_under_way(control: Control) -> bool:
    """Return whether the machine does something now, or says nothing."""
    try:
        return (await report_of_now(control)).state in _UNDER_WAY
    except DeviceError:
        return True


async def _until_done(control: Control) -> None:
    """Wait until what was ended sends nothing more: a goodbye would lose a line under way."""
    with suppress(TimeoutError, DeviceError, SessionLostError):
        async with asyncio.timeout(HELD_S):
            while control.activity or control.exchange.is_waiting:
                await control.fresh_report()


async def _cancel_again(control: Control) -> None:
    """Cancel a line that was under way, which comes after the first cancel."""
    with suppress(TimeoutError):
        async with asyncio.timeout(HELD_S):
            await control.exchange.until_replied()
    with suppress(SessionLostError):
        control.realtime(JOG_CANCEL)
