from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from usbshare.base.errors import DeviceError
from usbshare.line.profiles import GRBL
from usbshare.panel.machines import ending, rest
from usbshare.panel.machines.control import FRAMING, HOMING
from usbshare.panel.machines.gcode import JOG_CANCEL

HOLD, RESET = b"!", b"\x18"


class Calls:
    """The lines with a machine: whether one has no reply yet."""

    def __init__(self, *, is_waiting: bool) -> None:
        self.is_waiting = is_waiting

    def call_off(self) -> None:
        """Do nothing."""

    async def until_replied(self) -> None:
        """Wait for a reply that does not come."""
        if self.is_waiting:
            await asyncio.Event().wait()


class Machine:
    """Control of a machine with GRBL, which ends a jog by a jog cancel and anything by a reset.

    `state` is what it does, `said` what it reported last: up to 0.25 s ago, and before a homing.
    """

    is_connected, round_trip_s = True, 0.0
    port = SimpleNamespace(profile=GRBL)

    def __init__(self, state: str, said: str, activity: str = "", *, is_waiting: bool) -> None:
        self.state, self.activity = state, activity
        self.report = SimpleNamespace(state=said, substate=None)
        self.exchange = Calls(is_waiting=is_waiting)
        self.console = SimpleNamespace(add=lambda origin, text: None)
        self.written = b""

    def discard(self) -> None:
        """Do nothing."""

    def realtime(self, data: bytes) -> None:
        """Do what GRBL does with that byte."""
        self.written += data
        if data == HOLD and self.state == "Run":
            self.state = "Hold"
        if data == RESET or (data == JOG_CANCEL and self.state == "Jog"):
            self.state, self.activity, self.exchange.is_waiting = "Idle", "", False

    async def fresh_report(self) -> Any:
        """Report, which GRBL does not while it homes."""
        if self.state == "Home":
            raise DeviceError("the machine sent no report")
        self.report = SimpleNamespace(state=self.state, substate=None)
        return self.report


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CROSSING_S", "LOOK_S"):
        monkeypatch.setattr(rest, name, 0.0)
    monkeypatch.setattr(ending, "HELD_S", 0.05)


@pytest.mark.parametrize(
    "machine",
    [
        pytest.param(lambda: Machine("Home", "Jog", HOMING, is_waiting=True), id="homing"),
        pytest.param(lambda: Machine("Home", "Jog", is_waiting=True), id="homing by a line"),
        pytest.param(lambda: Machine("Run", "Jog", is_waiting=False), id="line under way"),
        pytest.param(lambda: Machine("Run", "Jog", is_waiting=True), id="line without its reply"),
    ],
)
async def test_a_motion_that_began_after_a_reported_jog_is_ended_too(machine: Any) -> None:
    made = machine()
    await ending.cancel(cast(Any, made))
    assert made.state == "Idle"
    assert made.written.endswith(RESET)


@pytest.mark.parametrize(
    "machine",
    [
        pytest.param(lambda: Machine("Jog", "Jog", FRAMING, is_waiting=True), id="dark frame"),
        pytest.param(lambda: Machine("Jog", "Jog", is_waiting=False), id="step"),
    ],
)
async def test_a_jog_is_ended_by_its_cancel_alone(machine: Any) -> None:
    made = machine()
    await ending.cancel(cast(Any, made))
    assert made.state == "Idle"
    assert not set(made.written) - set(JOG_CANCEL)
