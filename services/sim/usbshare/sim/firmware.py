"""The firmwares that can be simulated, by name."""

from __future__ import annotations

from usbshare.sim.controller import Controller
from usbshare.sim.grbl import GrblController
from usbshare.sim.marlin import MarlinController
from usbshare.sim.record import Record

FIRMWARES = ("grbl", "marlin")


def make_controller(firmware: str, record: Record) -> Controller:
    """Return a powered-up controller; `firmware` is one of FIRMWARES."""
    return GrblController(record) if firmware == "grbl" else MarlinController(record)
