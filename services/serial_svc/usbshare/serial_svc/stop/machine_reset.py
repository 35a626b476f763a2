"""Resets a machine: by its firmware's own byte, else by a pulse of DTR.

After M112 a Marlin takes nothing any more: only its reset pin helps, which DTR pulls on most
boards.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from usbshare.common.errors import NotSupportedError

if TYPE_CHECKING:
    from usbshare.serial_svc.port import SerialPort

log = logging.getLogger(__name__)

PULSE_S = 0.25


@dataclass(frozen=True, slots=True)
class ResetRecord:
    """What a reset did: the bytes that were written, none where DTR was pulsed."""

    epoch: int
    latched: bool
    sent: bytes
    fenced_commands: int


async def reset_machine(
    port: SerialPort, who: str, address: str, why: str, *, pulse_dtr: bool
) -> ResetRecord:
    """Reset the machine, whoever leaves meanwhile; what was sent before is void, a latch stays.

    Raises DeviceError without a device, NotSupportedError where it has no DTR line: then nothing
    has happened.
    """
    await port.ensure_open()
    own = port.profile.reset
    if own is None or pulse_dtr:
        done: list[int] = []
        await asyncio.shield(port.run(_pulse(port, done), "reset"))
        sent, fenced = b"", sum(done)
    else:
        port.discard_driver_output()
        sent = bytes([own])
        port.write_urgent(sent)
        fenced = _void(port)
    record = ResetRecord(port.epoch, port.latched, sent, fenced)
    how = f"sent {sent!r}" if sent else "DTR was pulsed"
    log.warning("port '%s' reset by %s: %s%s", port.id, who, how, f" ({why})" if why else "")
    port.witness.reset(who, address, why, record)
    return record


async def _pulse(port: SerialPort, done: list[int]) -> None:
    """Move DTR away from where it is and back: one of the edges pulls the reset pin."""
    device = port.device
    level = device.lines().dtr is not False  # on, as after opening, where nobody knows
    try:
        await device.set_lines(dtr=not level)
    except NotSupportedError as error:
        raise NotSupportedError(
            f"port '{port.id}' cannot be reset from here: {error}; use the machine's own switch"
        ) from error
    try:
        done.append(_void(port))
        port.discard_driver_output()
        await asyncio.sleep(PULSE_S)
    finally:
        await device.set_lines(dtr=level)


def _void(port: SerialPort) -> int:
    """Void what was sent so far, wherever it is; returns how many commands were here."""
    fenced = port.end_epoch()
    port.watch.fenced()
    port.watch.nothing_left()
    port.changed()
    return fenced
