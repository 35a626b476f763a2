"""The firmwares that can be simulated, by name."""

from __future__ import annotations

from usbshare.sim.controller import Controller
from usbshare.sim.grbl import GrblController
from usbshare.sim.marlin import MarlinController
from usbshare.sim.record import Record

FIRMWARES = ("grbl", "marlin")


def make_controller(firmware: str, record: Record, *, homing: bool = False) -> Controller:
    """Return a powered-up controller; `firmware` is one of FIRMWARES.

    With `homing` GRBL has home switches ($22=1), and is in alarm until it is homed or unlocked.
    """
    if firmware == "grbl":
        return GrblController(record, homing=homing)
    return MarlinController(record)
