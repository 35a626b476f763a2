from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from usbshare.line.profiles import GRBL
from usbshare.panel.machines.machine_view import HOMING, Machine, NextStep
from usbshare.panel.seen import SeenPort


def in_alarm(message: str = "", reason: str = "Alarm") -> Machine:
    """Return a machine whose firmware has said that of its alarm."""
    hold = SimpleNamespace(cause="alarm", release="machine", reason=reason)
    port: Any = SimpleNamespace(
        id="laser", latched=False, latch=None, hold=hold, profile=GRBL, state="open", holder=""
    )
    seen = SeenPort(cast(Any, port), "", None)
    return Machine(("shop", "laser"), seen, firmware_message=message)


@pytest.mark.parametrize(
    ("message", "reason", "step"),
    [
        ("ALARM:1: a hard limit", "Alarm", NextStep.RESET),
        ("ALARM:2: a soft limit", "Alarm", NextStep.RESET),
        ("", "Alarm:1", NextStep.RESET),  # as grblHAL reports it
        ("ALARM:3: a reset while it moved", "Alarm", NextStep.HOME),
        ("ALARM:10: something", "Alarm", NextStep.HOME),
        ("", "Alarm", NextStep.HOME),
    ],
)
def test_an_alarm_that_takes_nothing_but_a_reset_offers_one(
    message: str, reason: str, step: NextStep
) -> None:
    machine = in_alarm(message, reason)
    assert machine._next_step(machine.port.port) is step


@pytest.mark.parametrize(
    ("settings", "step"),
    [({}, NextStep.HOME), ({HOMING: 1.0}, NextStep.HOME), ({HOMING: 0.0}, NextStep.UNLOCK)],
)
def test_a_machine_is_unlocked_only_where_it_cannot_home(
    settings: dict[int, float], step: NextStep
) -> None:
    machine = in_alarm()
    machine.settings = settings
    assert machine._next_step(machine.port.port) is step
