"""Resets by a pulse: DTR or RTS moves, whatever is known of where the lines were."""

from __future__ import annotations

import pytest

from fakes.esp32_board import FIRMWARE, Esp32Board
from fakes.port_bench import Bench
from usbshare.line.settings import ModemLines
from usbshare.serial_svc.stop import machine_reset
from usbshare.serial_svc.stop.audit import Pulse


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_reset, "PULSE_S", 0.001)
    monkeypatch.setattr(machine_reset, "BOOT_S", 0.001)


@pytest.mark.parametrize("was_on", [True, False, None])
async def test_a_pulse_of_dtr_has_two_edges(
    was_on: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench()
    monkeypatch.setattr(bench.device, "lines", lambda: ModemLines(dtr=was_on))
    await bench.port.stops.machine_reset.reset("ann", "127.0.0.1:1", "", Pulse.DTR)
    rests_on = was_on is not False  # where nobody knows: as opening leaves it
    assert bench.device.line_log == [("dtr", not rests_on), ("dtr", rests_on)]
    await bench.port.close()


# Not DTR off with RTS on, which holds the board in reset for good.
LEVELS = [(True, True), (False, False), (True, False), (None, None)]


@pytest.mark.parametrize(("dtr", "rts"), LEVELS)
async def test_a_pulse_of_rts_boots_an_esp32_once_and_never_its_boot_loader(
    dtr: bool | None, rts: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await pulsed(Pulse.RTS, dtr, rts, monkeypatch) == [FIRMWARE]


async def test_a_pulse_of_dtr_does_not_reach_an_esp32_whose_lines_are_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert await pulsed(Pulse.DTR, False, False, monkeypatch) == []


async def pulsed(
    pulse: Pulse, dtr: bool | None, rts: bool | None, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """Pulse a line of a board whose lines are like that, and are so again; returns its boots."""
    bench, board = Bench(), Esp32Board()
    before = (dtr is not False, rts is not False)
    board.dtr, board.rts = before
    monkeypatch.setattr(bench.device, "lines", lambda: ModemLines(dtr=dtr, rts=rts))
    await bench.port.stops.machine_reset.reset("ann", "127.0.0.1:1", "", pulse)
    for name, value in bench.device.line_log:
        setattr(board, name, value)
    assert board.levels == before
    await bench.port.close()
    return board.boots
