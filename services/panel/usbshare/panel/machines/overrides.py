"""Brings a machine's overrides to percentages, step by step from what it reports of them.

GRBL knows bytes for 100 % and for steps only, and says where it is in few of its reports. Of equal
bytes that come within one round of its main loop it obeys one (grbl/serial.c sets flags, which
grbl/protocol.c clears): what it reports afterwards decides what is still to be sent.
"""

from __future__ import annotations

from usbshare.base.errors import DeviceError, WrongStateError
from usbshare.line.machine_report import Overrides
from usbshare.panel.machines import condition, gcode
from usbshare.panel.machines.control import FRAMING, PULSING, Control
from usbshare.panel.machines.rest import crossed

# GRBL says its overrides in every 10th report, in every 20th while it moves (grbl/config.h).
MOST_REPORTS = 40
TRIES = 20


async def bring_to(
    control: Control, feed: int | None, rapids: int | None, spindle: int | None
) -> None:
    """Return once the machine reports these percentages; None leaves one.

    Raises DeviceError, WrongStateError for the power of a frame or pulse.
    """
    for _ in range(TRIES):
        now = await _reported(control)
        _require_allowed(control, spindle)
        steps = gcode.override_bytes((now.feed, now.rapids, now.spindle), feed, rapids, spindle)
        if not steps:
            return
        control.realtime(steps)
        await crossed(control)
        control.overrides.forget()  # a report that was under way told of before
    raise DeviceError(
        f"the machine reports feed {now.feed} %, rapids {now.rapids} %, spindle {now.spindle} %, "
        "and does not follow"
    )


async def _reported(control: Control) -> Overrides:
    for _ in range(MOST_REPORTS):
        if (known := control.overrides.now) is not None:
            return known
        await control.fresh_report()
    raise DeviceError("the machine does not report its overrides")


def _require_allowed(control: Control, spindle: int | None) -> None:
    condition.require_unlatched(control.its_port)
    if spindle is not None and control.activity in (FRAMING, PULSING):
        raise WrongStateError(f"the power cannot change while {control.activity}")
