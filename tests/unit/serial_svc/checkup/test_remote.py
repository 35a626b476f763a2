"""`serial-svc doctor` on ports behind USB/IP servers: it looks at lists, and attaches nothing."""

from __future__ import annotations

import pytest

from fakes.lsusb import capture
from fakes.usbip_device import FakeDevice
from fakes.usbip_server import usbip_server
from usbshare.base.checkup import Verdict
from usbshare.serial_svc.checkup.remote import judge_remote

UNO, CH340 = "2341:0043", "1a86:7523"


@pytest.mark.parametrize(
    ("device", "verdict", "measured"),
    [
        ("1-1", Verdict.OK, "exports 1-1"),
        (f"{UNO}:75330303035351F0E1A1", Verdict.OK, "exports 1-1, 1-2"),
        (UNO, Verdict.FAILURE, "has 2 of them: 1-1, 1-2"),
        (CH340, Verdict.FAILURE, "1-3 is a CH340 adapter"),
        ("1-9", Verdict.WARNING, f"does not list 1-9 (listed: 1-1 {UNO}, 1-2 {UNO}, 1-3 {CH340})"),
    ],
)
async def test_a_device_is_looked_up_in_the_list(
    device: str, verdict: Verdict, measured: str
) -> None:
    names = ("arduino_uno_r3", "arduino_uno_r3", "ch340")
    fakes = [FakeDevice(capture(name), f"1-{n}", n + 1) for n, name in enumerate(names, 1)]
    async with usbip_server(*fakes) as server:
        found = await judge_remote(f"usbip://127.0.0.1:{server.port}/{device}")
        assert found.verdict is verdict
        assert measured in found.measured
        assert bool(found.remedy) is (verdict is not Verdict.OK)
        assert server.attaches == 0


async def test_a_server_that_is_not_there_fails() -> None:
    async with usbip_server() as server:
        port = server.port
    found = await judge_remote(f"usbip://127.0.0.1:{port}/1-1")
    assert found.verdict is Verdict.FAILURE
    assert "cannot be reached" in found.measured
