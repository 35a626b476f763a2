"""Resets a machine: by its firmware's own byte, else by a pulse of DTR or RTS.

After M112 a Marlin takes nothing any more: only its reset pin helps, which DTR pulls on most
boards, and RTS on those with an ESP32.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from usbshare.base.errors import NotSupportedError
from usbshare.line.settings import Device
from usbshare.serial_svc.line.line import Line
from usbshare.serial_svc.stop.audit import Pulse, ResetRecord, StopAudit
from usbshare.serial_svc.stop.fence import Fence
from usbshare.serial_svc.stop.machine import Machine

log = logging.getLogger(__name__)

PULSE_S = 0.25
BOOT_S = 0.05  # an ESP32 reads its boot pin within this time


class MachineReset:
    """Resets the machine on one line when somebody asks for it."""

    def __init__(self, line: Line, machine: Machine, fence: Fence, audit: StopAudit) -> None:
        self._line = line
        self._machine = machine
        self._fence = fence
        self._audit = audit

    async def reset(self, who: str, address: str, why: str, pulse: Pulse | None) -> ResetRecord:
        """Reset the machine, even if the caller leaves; void what was sent before, keep a latch.

        By that pulse; for None by the firmware's own byte, or by DTR where it has none. Raises
        DeviceError without a device, NotSupportedError where it has no such line: then nothing has
        happened.
        """
        line = self._line
        await line.ensure_open()
        own = line.profile.reset
        if own is None or pulse is not None:
            pulse = pulse or Pulse.DTR
            done: list[int] = []
            await asyncio.shield(line.keeper.run(self._pulse(pulse, done), "reset"))
            sent, fenced = b"", sum(done)
        else:
            line.writer.discard()
            sent = bytes([own])
            line.writer.urgent(sent)
            fenced = self._void()
        record = ResetRecord(line.latch.epoch, line.latch.is_set, sent, fenced, pulse)
        how = f"{pulse.value} was pulsed" if pulse else f"sent {sent!r}"
        log.warning("port '%s' reset by %s: %s%s", line.id, who, how, f" ({why})" if why else "")
        self._audit.reset(who, address, why, record)
        return record

    async def _pulse(self, pulse: Pulse, done: list[int]) -> None:
        """Pulse the reset pin; `done` gets how many commands are void."""
        line = self._line
        begin, end = _edges(line.device, pulse)
        try:
            await begin()
        except NotSupportedError as error:
            raise NotSupportedError(
                f"port '{line.id}' cannot be reset from here: {error}; use the machine's own switch"
            ) from error
        try:
            done.append(self._void())
            line.writer.discard()
            await asyncio.sleep(PULSE_S)
        finally:
            await end()
        line.writer.line_is_void()

    def _void(self) -> int:
        """Void what was sent so far, wherever it is; returns how many commands were here."""
        fenced = self._fence.end_epoch()
        self._machine.program_voided()
        self._machine.nothing_left()
        self._machine.was_reset()
        self._line.changed()
        return fenced


_Edge = Callable[[], Awaitable[None]]


def _edges(device: Device, pulse: Pulse) -> tuple[_Edge, _Edge]:
    """Return what begins a pulse and what ends it, with the lines as they were."""
    lines = device.lines()
    dtr, rts = lines.dtr is not False, lines.rts is not False  # on if unknown: as opened

    async def move_dtr() -> None:  # one of the two edges pulls the pin
        await device.set_lines(dtr=not dtr)

    async def restore_dtr() -> None:
        await device.set_lines(dtr=dtr)

    async def hold_esp32() -> None:
        # Two transistors: RTS resets only while DTR is off, and DTR alone chooses the boot loader.
        await device.set_lines(dtr=False)
        await device.set_lines(rts=True)

    async def start_esp32() -> None:
        await device.set_lines(rts=False)
        await asyncio.sleep(BOOT_S)
        await device.set_lines(dtr=dtr)  # before RTS, which alone would reset it again
        await device.set_lines(rts=rts)

    if pulse is Pulse.RTS:
        return hold_esp32, start_esp32
    return move_dtr, restore_dtr
