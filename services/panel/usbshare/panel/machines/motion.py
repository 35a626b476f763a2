"""Motions that a person requests; each ends by itself, or raises UsbshareError."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from usbshare.base.errors import (
    DeviceError,
    InvalidArgumentError,
    NotSupportedError,
    SessionLostError,
    UsbshareError,
    WrongStateError,
)
from usbshare.line.profiles import GRBL_RESET
from usbshare.panel.machines import firmware_texts, gcode
from usbshare.panel.machines.control import Control
from usbshare.panel.machines.exchange import Reply
from usbshare.panel.machines.machine_view import Abilities
from usbshare.panel.machines.rest import until_held, until_idle

HOME_S = 300.0
LINE_S = 30.0
HELD_S = 3.0
FRAME_S = 600.0
HOMING, FRAMING, PULSING = "homing", "framing", "pulsing the laser"
LONGEST_LINE = 200
_MODES = re.compile(r"\[GC:([^\]]*)\]")
_ALONE = frozenset("?!~")
_RESUME = "~"


async def console_line(control: Control, text: str) -> Reply:
    """Send a line that a person typed; a single real-time character is sent as such."""
    line = text.strip()
    if not line or len(line) > LONGEST_LINE or not line.isprintable():
        raise InvalidArgumentError(f"a line must have 1 to {LONGEST_LINE} printable characters")
    await control.take(is_kept=False)
    if control.port is None:
        raise SessionLostError("control was lost")
    profile = control.port.profile
    if line in _ALONE and profile.has_realtime(line.encode()):
        if line == _RESUME:
            control.require_unlatched()
        control.realtime(line.encode())
        return Reply("", (), 0.0)
    if profile.realtime and (found := next(filter(_is_no_text, line), "")):
        raise InvalidArgumentError(
            f"{found!r} is a real-time command to this firmware, also within a line: leave it out"
            + (", or send it alone" if found in _ALONE else "")
        )
    return await control.send(line)


async def step(control: Control, x_mm: float, y_mm: float, z_mm: float, feed: float) -> None:
    """Move by a distance; returns once the machine has taken it."""
    line = gcode.relative_jog(x_mm, y_mm, z_mm, feed)
    await _jogging(control)
    _require_ok(await control.send(gcode.BEAM_OFF, line, wait_s=LINE_S))


async def home(control: Control) -> None:
    """Home the machine; returns when that is done. NotSupportedError if homing is off."""
    abilities = await _jogging(control)
    if not abilities.can_home:
        raise NotSupportedError("homing is switched off on this machine ($22=0)")
    with _doing(control, HOMING):
        _require_ok(await control.send("$H", wait_s=HOME_S))


async def unlock(control: Control) -> None:
    """Clear an alarm."""
    await _jogging(control)
    _require_ok(await control.send("$X", wait_s=LINE_S))


async def set_zero(control: Control, axes: str) -> None:
    """Make the position of now the zero of the work coordinates."""
    line = gcode.set_zero(axes)
    await _jogging(control)
    _require_ok(await control.send(line, wait_s=LINE_S))


async def go_to_zero(control: Control, axes: str, feed: float) -> None:
    """Move to the zero of the work coordinates with the beam off; returns once it is under way."""
    line = gcode.jog_to_zero(axes, feed)
    await _jogging(control)
    await _until_idle(control)
    _require_ok(await control.send(gcode.BEAM_OFF, line, wait_s=LINE_S))


async def frame(control: Control, box: gcode.Rectangle, feed: float, percent: float) -> None:
    """Move around a box and return at its end; the beam is off unless `percent` is set."""
    abilities = await _jogging(control)
    if percent:
        _require_laser_mode(abilities)
        lines = gcode.lit_frame(box, feed, percent, _max_spindle(abilities))
        lines = (*lines, *gcode.restored(await _modes(control)))
    else:
        lines = gcode.dark_frame(box, feed)
    await _until_idle(control)
    calls_off = control.exchange.calls_off
    with _doing(control, FRAMING):
        if percent:
            control.realtime(gcode.SPINDLE_AS_PROGRAMMED)
        try:
            # One at a time: all together are more than the firmware's buffer holds.
            _require_ok(await control.send_each([[line] for line in lines], wait_s=FRAME_S))
            await until_idle(control, FRAME_S)
            if (
                control.exchange.calls_off != calls_off
            ):  # the machine had all of it, and has dropped it
                raise WrongStateError("it was cancelled")
        except UsbshareError:
            if percent:
                with suppress(UsbshareError):  # a held machine takes nothing; a jog begins with it
                    await control.send(*gcode.DARK, wait_s=LINE_S)
            raise


async def pulse(control: Control, percent: float, seconds: float) -> None:
    """Turn the laser on for so many seconds; returns when it is off again."""
    abilities = await _jogging(control)
    _require_laser_mode(abilities)
    lines = gcode.pulse(percent, seconds, _max_spindle(abilities))
    lines = (*lines, *gcode.restored(await _modes(control)))
    await _until_idle(control)
    with _doing(control, PULSING):
        control.realtime(gcode.SPINDLE_AS_PROGRAMMED)
        _require_ok(await control.send(*lines, wait_s=LINE_S))


async def set_overrides(
    control: Control, feed: int | None, rapids: int | None, spindle: int | None
) -> None:
    """Change overrides to percentages; WrongStateError for the power of a frame or pulse."""
    await _abilities(control)
    control.require_unlatched()
    if spindle is not None and control.activity in (FRAMING, PULSING):
        raise WrongStateError(f"the power cannot change while {control.activity}")
    report = control.report or await control.fresh_report()
    if report.overrides is None:
        now = (100, 100, 100)
    else:
        now = (report.overrides.feed, report.overrides.rapids, report.overrides.spindle)
    control.realtime(gcode.override_bytes(now, feed, rapids, spindle))


async def cancel(control: Control) -> None:
    """End what moves: a jog at once; anything else is held, and then reset with the beam off.

    Raises SessionLostError where the panel has no control, so that nothing was ended.
    """
    if not control.is_connected:
        raise SessionLostError("the panel is not in control of this machine: press HOLD")
    control.realtime(gcode.JOG_CANCEL)
    control.exchange.call_off()
    control.discard()
    if control.activity in ("", HOMING) and not control.exchange.is_waiting:
        return
    state = "" if control.report is None else control.report.state
    if state == "Jog":
        # A line that was under way comes after the cancel, and would still be carried out.
        with suppress(TimeoutError):
            async with asyncio.timeout(HELD_S):
                await control.exchange.until_replied()
        control.realtime(gcode.JOG_CANCEL)
        return
    if control.activity != HOMING:  # a machine that homes ignores a hold, and reports nothing
        control.realtime(b"!")
        with suppress(WrongStateError, DeviceError, SessionLostError):
            await until_held(control, HELD_S)
    with suppress(SessionLostError):
        control.realtime(bytes((GRBL_RESET,)))


async def _jogging(control: Control) -> Abilities:
    """Have control of a machine that can do all this, now; returns what it can."""
    abilities = await _abilities(control)
    control.require_released()
    return abilities


async def _abilities(control: Control) -> Abilities:
    await control.take(is_kept=False)
    if control.port is None:
        raise SessionLostError("control was lost")
    abilities = Abilities(control.port.profile, control.settings)
    if not abilities.can_jog:
        raise NotSupportedError(
            f"the firmware of port '{control.port.id}' ({control.port.profile.name}) has no jogs "
            "that can be cancelled: use the console"
        )
    return abilities


async def _until_idle(control: Control) -> None:
    report = await control.fresh_report()
    if report.state != "Idle":
        raise WrongStateError(f"the machine is not idle: it reports {report.state}")


async def _modes(control: Control) -> Sequence[str]:
    """Return the words that are in force, such as `G91`."""
    reply = await control.send("$G", shows=False, wait_s=LINE_S)
    found = next((each for line in reply.said if (each := _MODES.match(line))), None)
    if found is None:
        raise DeviceError("the machine does not report which modes are in force ($G)")
    return found[1].split()


def _is_no_text(letter: str) -> bool:
    """Return whether a letter is none to a firmware with real-time bytes, such as all from 0x80."""
    return letter in _ALONE or not letter.isascii()


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


@contextmanager
def _doing(control: Control, what: str) -> Iterator[None]:
    control.doing(what)
    try:
        yield
    finally:
        control.doing("")
