"""Motions that a person requests; each ends by itself, or raises UsbshareError."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress

from usbshare.base.errors import (
    DeviceError,
    InvalidArgumentError,
    NotSupportedError,
    UsbshareError,
    WrongStateError,
)
from usbshare.line.typed_line import ALONE, require_no_realtime
from usbshare.panel.machines import condition, firmware_texts, gcode, overrides
from usbshare.panel.machines.control import FRAMING, HOMING, PULSING, Control
from usbshare.panel.machines.exchange import Reply
from usbshare.panel.machines.machine_view import Abilities, require_jogs
from usbshare.panel.machines.rest import until_idle

HOME_S = 300.0
LINE_S = 30.0
JOG_S = 60.0
FRAME_S = 600.0
LONGEST_LINE = 200
_MODES = re.compile(r"\[GC:([^\]]*)\]")
_RESUME = "~"

Resume = Callable[[], Awaitable[object]]


async def console_line(control: Control, text: str, resume: Resume) -> Reply:
    """Send a line that a person typed; a real-time character alone goes as such.

    `~` is a person's resume, which `resume` carries out: it names the hold that was seen.
    """
    line = text.strip()
    if not line or len(line) > LONGEST_LINE or not line.isprintable():
        raise InvalidArgumentError(f"a line must have 1 to {LONGEST_LINE} printable characters")
    await _take(control)
    profile = control.its_port.profile
    if line in ALONE and profile.has_realtime(line.encode()):
        if line == _RESUME:
            condition.require_unlatched(control.its_port)
            await resume()
        else:
            control.realtime(line.encode())
        return Reply("", (), 0.0)
    require_no_realtime(profile, line)
    return await control.send(line, doing=HOMING if gcode.is_homing(line) else "")


async def step(control: Control, x_mm: float, y_mm: float, z_mm: float, feed: float) -> None:
    """Move by a distance, behind the steps before; returns once the machine has taken it."""
    line = gcode.relative_jog(x_mm, y_mm, z_mm, feed)
    await _jogging(control)
    async with _behind_jogs(control):
        _require_ok(await control.send(gcode.BEAM_OFF, line, wait_s=LINE_S))


async def home(control: Control) -> None:
    """Home the machine; returns when that is done. NotSupportedError if homing is off."""
    abilities = await _jogging(control)
    if not abilities.can_home:
        raise NotSupportedError("homing is switched off on this machine ($22=0)")
    _require_ok(await control.send(gcode.HOME, wait_s=HOME_S, doing=HOMING))


async def unlock(control: Control) -> None:
    """Clear an alarm."""
    await _jogging(control)
    _require_ok(await control.send("$X", wait_s=LINE_S))


async def set_zero(control: Control, axes: str) -> None:
    """Make the current position the work zero, the one after the steps before."""
    line = gcode.set_zero(axes)
    await _jogging(control)
    async with _behind_jogs(control):
        _require_ok(await control.send(line, wait_s=LINE_S))


async def go_to_zero(control: Control, axes: str, feed: float) -> None:
    """Move to the zero of the work coordinates with the beam off; returns once it is under way."""
    line = gcode.jog_to_zero(axes, feed)
    await _jogging(control)
    await _until_idle(control)
    _require_ok(await control.send(gcode.BEAM_OFF, line, wait_s=LINE_S))


async def frame(control: Control, box: gcode.Rectangle, feed: float, percent: float) -> None:
    """Move around a box with the beam off unless `percent` is set; then control is not needed.

    Returns when that is done.
    """
    await _frame(control, box, feed, percent)
    await control.release_unused()


async def _frame(control: Control, box: gcode.Rectangle, feed: float, percent: float) -> None:
    abilities = await _jogging(control)
    if percent:
        _require_laser_mode(abilities)
        lines = gcode.lit_frame(box, feed, percent, _max_spindle(abilities))
        lines = (*lines, *gcode.restored(await _modes(control)))
    else:
        lines = gcode.dark_frame(box, feed)
    await _until_idle(control)
    with control.doing(FRAMING):
        if percent:
            control.realtime(gcode.SPINDLE_AS_PROGRAMMED)
        try:
            await _along(control, lines)
        except UsbshareError:
            if percent:
                with suppress(UsbshareError):  # a held machine takes nothing; a jog begins with it
                    await control.send_on(*gcode.DARK, wait_s=LINE_S)
            raise


async def pulse(control: Control, percent: float, seconds: float) -> None:
    """Turn the laser on for so many seconds; returns when it is off again."""
    abilities = await _jogging(control)
    _require_laser_mode(abilities)
    lines = gcode.pulse(percent, seconds, _max_spindle(abilities))
    lines = (*lines, *gcode.restored(await _modes(control)))
    await _until_idle(control)
    with control.doing(PULSING):
        control.realtime(gcode.SPINDLE_AS_PROGRAMMED)
        _require_ok(await control.send(*lines, wait_s=LINE_S))


async def set_overrides(
    control: Control, feed: int | None, rapids: int | None, spindle: int | None
) -> None:
    """Change overrides to percentages; returns once the machine reports them."""
    await _abilities(control)
    await overrides.bring_to(control, feed, rapids, spindle)


async def _jogging(control: Control) -> Abilities:
    """Have control of a machine that can do all this, now; returns what it can."""
    abilities = await _abilities(control)
    condition.require_released(control.its_port)
    return abilities


async def _abilities(control: Control) -> Abilities:
    await _take(control)
    return require_jogs(control.its_port, control.settings)


async def _take(control: Control) -> None:
    """Have control; raises WrongStateError where it was cancelled while the port was opened."""
    calls_off = control.exchange.calls_off
    await control.take(is_kept=False)
    control.exchange.require_meant(calls_off)


async def _along(control: Control, lines: Sequence[str]) -> None:
    calls_off = control.exchange.calls_off
    # One at a time: all together are more than the firmware's buffer holds.
    _require_ok(await control.send_each([[line] for line in lines], wait_s=FRAME_S))
    await until_idle(control, FRAME_S)
    control.exchange.require_meant(calls_off)  # the machine had all of it, and has dropped it


@asynccontextmanager
async def _behind_jogs(control: Control) -> AsyncIterator[None]:
    """Wait for the steps before: a jogging machine takes no G-code, and its beam must be off first.

    WrongStateError where what was to come is cancelled, held or stopped meanwhile.
    """
    calls_off, stopped = control.exchange.calls_off, list[str]()
    # GRBL takes a hold while it jogs for a cancel, and is idle then: nothing may follow it.
    unsubscribe = control.holds.subscribe(stopped.append)
    try:
        async with control.steps:
            if (await control.fresh_report()).state == "Jog":
                await until_idle(control, JOG_S)
            control.exchange.require_meant(calls_off)
            if stopped:
                raise WrongStateError(stopped[0])
            yield
    finally:
        unsubscribe()


async def _until_idle(control: Control) -> None:
    calls_off = control.exchange.calls_off
    report = await control.fresh_report()
    control.exchange.require_meant(calls_off)
    if report.state != "Idle":
        raise WrongStateError(f"the machine is not idle: it reports {report.state}")


async def _modes(control: Control) -> Sequence[str]:
    """Return the words that are in force, such as `G91`."""
    reply = await control.send("$G", shows=False, wait_s=LINE_S)
    found = next((each for line in reply.said if (each := _MODES.match(line))), None)
    if found is None:
        raise DeviceError("the machine does not report which modes are in force ($G)")
    return found[1].split()


def _require_laser_mode(abilities: Abilities) -> None:
    if not abilities.can_pulse:
        raise NotSupportedError("laser mode is off on this machine ($32=0): a spindle would start")


def _max_spindle(abilities: Abilities) -> float:
    if not abilities.max_spindle:
        raise NotSupportedError("the machine does not report what full power is ($30)")
    return abilities.max_spindle


def _require_ok(reply: Reply) -> None:
    if not reply.is_ok:
        raise DeviceError(f"the machine rejected the line: {firmware_texts.explained(reply.text)}")
