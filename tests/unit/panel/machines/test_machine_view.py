from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from usbshare.client.serial.messages import Hold
from usbshare.line.profiles import GRBL
from usbshare.panel.machines.machine_view import HOMING, Machine, NextStep
from usbshare.panel.seen import SeenPort


def in_alarm(reason: str = "Alarm") -> Machine:
    """Return a machine of whose alarm its host has heard that."""
    hold = Hold("alarm", "the machine", datetime(2026, 1, 1, tzinfo=UTC), "machine", reason=reason)
    port: Any = SimpleNamespace(
        id="laser", latched=False, latch=None, hold=hold, profile=GRBL, state="open", holder=""
    )
    seen = SeenPort(cast(Any, port), "", None)
    return Machine(("shop", "laser"), seen)


@pytest.mark.parametrize(
    ("reason", "step"),
    [
        ("ALARM:1", NextStep.RESET),
        ("ALARM:2; the machine was asked and has not reported its state", NextStep.RESET),
        ("Alarm:1", NextStep.RESET),  # as grblHAL reports it
        ("ALARM:1 (reset since)", NextStep.HOME),
        ("ALARM:3", NextStep.HOME),
        ("ALARM:10", NextStep.HOME),
        ("Alarm", NextStep.HOME),
    ],
)
def test_an_alarm_that_takes_nothing_but_a_reset_offers_one(reason: str, step: NextStep) -> None:
    machine = in_alarm(reason)
    assert machine._next_step(machine.port.port) is step


def test_an_alarm_is_explained_to_a_panel_that_did_not_hear_it() -> None:
    assert in_alarm("ALARM:2").view(()).firmware_message.startswith("ALARM:2: the move would leave")
    assert in_alarm("Alarm").view(()).firmware_message == ""


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
