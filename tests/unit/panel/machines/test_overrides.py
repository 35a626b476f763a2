"""Overrides of a GRBL: it says seldom where they are, and obeys one of several equal bytes.

gnea/grbl grbl/serial.c (the interrupt sets a flag for each byte), grbl/protocol.c (the main loop
takes the flags and clears them), grbl/report.c (`Ov:` in every 10th report, and after a change).
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from usbshare.base.errors import DeviceError, PortLatchedError, WrongStateError
from usbshare.line.machine_report import MachineReport, Overrides
from usbshare.line.profiles import GRBL
from usbshare.panel.machines.control import PULSING, Control
from usbshare.panel.machines.known_overrides import KnownOverrides
from usbshare.panel.machines.overrides import bring_to

_CODES = {0x91: 10, 0x92: -10, 0x93: 1, 0x94: -1}
_SPINDLE = {0x9A: 10, 0x9B: -10, 0x9C: 1, 0x9D: -1}


class Grbl:
    """A control whose machine obeys the flags of each write once."""

    def __init__(self, feed: int = 100, spindle: int = 100, *, obeys: bool = True) -> None:
        self.now = [feed, 100, spindle]
        self.activity = ""
        self.overrides = KnownOverrides()
        self.round_trip_s = -0.1  # what crosses takes no time here
        self.its_port = SimpleNamespace(
            id="laser", latched=False, latch=None, hold=None, profile=GRBL, state="open", reason=""
        )
        self.powers: list[int] = []
        self._obeys = obeys
        self._reports_to_say = 3

    def realtime(self, data: bytes) -> None:
        """Take bytes; equal ones are one."""
        if not self._obeys:
            return
        for code in sorted(set(data)):
            for at, full, steps in ((0, 0x90, _CODES), (2, 0x99, _SPINDLE)):
                wanted = 100 if code == full else self.now[at] + steps.get(code, 0)
                self.now[at] = min(200, max(10, wanted))
        self.powers.append(self.now[2])
        self._reports_to_say = 1

    async def fresh_report(self) -> MachineReport:
        """Report; what is overridden only now and then."""
        self._reports_to_say -= 1
        report = MachineReport("Idle")
        if self._reports_to_say < 0:
            self._reports_to_say = 9
            said = Overrides(self.now[0], self.now[1], self.now[2])
            report = MachineReport("Idle", overrides=said)
        self.overrides.reported(report)
        return report


def control(grbl: Grbl) -> Control:
    """Return it as what it stands for."""
    return cast(Control, cast(Any, grbl))


@pytest.mark.parametrize(("now", "wanted"), [(150, 140), (30, 20), (10, 20), (173, 18), (12, 100)])
async def test_an_override_reaches_its_value_without_exceeding_it(now: int, wanted: int) -> None:
    grbl = Grbl(spindle=now)
    await bring_to(control(grbl), None, None, wanted)
    assert grbl.now == [100, 100, wanted]
    assert max(grbl.powers) <= max(now, wanted)


async def test_an_override_already_in_force_needs_no_byte() -> None:
    grbl = Grbl(feed=80)
    await bring_to(control(grbl), 80, 100, None)
    assert grbl.powers == []


async def test_a_machine_that_does_not_follow_is_told_of() -> None:
    with pytest.raises(DeviceError, match="spindle 100 %"):
        await bring_to(control(Grbl(obeys=False)), None, None, 50)


async def test_the_power_of_a_pulse_and_a_latched_machine_are_left_alone() -> None:
    grbl = Grbl()
    grbl.activity = PULSING
    with pytest.raises(WrongStateError, match="pulsing"):
        await bring_to(control(grbl), None, None, 200)
    grbl.its_port.latched = True
    with pytest.raises(PortLatchedError):
        await bring_to(control(grbl), 50, None, None)
    assert grbl.powers == []
