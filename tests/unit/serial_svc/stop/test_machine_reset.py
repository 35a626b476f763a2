"""A reset by a pulse of DTR moves the line, whatever is known of where it was."""

from __future__ import annotations

import pytest

from fakes.port_bench import Bench
from usbshare.common.line import ModemLines
from usbshare.serial_svc.stop import machine_reset
from usbshare.serial_svc.stop.machine_reset import reset_machine


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_reset, "PULSE_S", 0.001)


@pytest.mark.parametrize("was_on", [True, False, None])
async def test_a_pulse_has_two_edges(was_on: bool | None, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    monkeypatch.setattr(bench.device, "lines", lambda: ModemLines(dtr=was_on))
    await reset_machine(bench.port, "ann", "127.0.0.1:1", "", pulse_dtr=True)
    rests_on = was_on is not False  # where nobody knows: as opening leaves it
    assert bench.device.line_log == [("dtr", not rests_on), ("dtr", rests_on)]
    await bench.port.close()
