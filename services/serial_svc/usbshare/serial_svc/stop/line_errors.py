"""Holds the rest when the firmware rejects a line, raises an alarm or loses a reply."""

from __future__ import annotations

import logging

from usbshare.base.errors import DeviceError
from usbshare.line.profiles import StopAction
from usbshare.serial_svc.line.line import Line
from usbshare.serial_svc.stop.audit import StopAudit
from usbshare.serial_svc.stop.fence import Programs
from usbshare.serial_svc.stop.hold import MACHINE, HoldCause
from usbshare.serial_svc.stop.machine import Machine

log = logging.getLogger(__name__)


class LineErrors:
    """Holds what waits behind a line that went wrong, until a person resumes."""

    def __init__(self, line: Line, machine: Machine, programs: Programs, audit: StopAudit) -> None:
        self._line = line
        self._machine = machine
        self._programs = programs
        self._audit = audit

    def rejected(self, reason: str) -> None:
        """Hold the machine as well: what it got behind the line must not be carried out unseen.

        Only where it keeps its program over a hold; else what waits is held alone.
        """
        profile = self._line.profile
        plan = profile.stops.get(StopAction.HOLD) if profile.hold_keeps_program else None
        is_held = plan is not None and self._write(plan.data)  # the byte first
        if is_held:
            self._machine.holds.machine_held(HoldCause.LINE_ERROR, MACHINE, reason)
        self._hold_lines(reason, machine_held=is_held)

    def hold(self, reason: str) -> None:
        """Hold what waits; the machine is at rest already, or was told nothing wrong."""
        self._hold_lines(reason, machine_held=False)

    def _hold_lines(self, reason: str, *, machine_held: bool) -> None:
        if self._programs.hold():
            self._machine.holds.lines_held(reason)
        log.warning("port '%s': the lines that wait are held: %s", self._line.id, reason)
        self._audit.line_error(reason, machine_held=machine_held)

    def _write(self, data: bytes) -> bool:
        try:
            self._line.writer.urgent(data)
        except DeviceError as error:
            log.error("port '%s' was not held: %s", self._line.id, error)
            return False
        return True
