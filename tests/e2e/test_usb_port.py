"""The USB port of a bridge: real processes, real mTLS; the kernel's driver is played.

`tests/vm` has what a real kernel makes of it.
"""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from fakes.cdc_acm import CdcAcm, RefusedError, attach
from fakes.processes import Process, run, running, serial_service
from usbshare.usbip.cdc import LineCoding, SerialState

BUS_ID = "1-1"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def target(home: Path) -> Iterator[str]:
    config = home / "usbshare.toml"
    config.write_text('[ports.laser]\nsource = "sim://grbl"\nprofile = "grbl"\n')
    with serial_service(home, "--config", str(config)) as (_, target):
        yield target


@contextmanager
def offered(home: Path, target: str) -> Iterator[tuple[Process, str]]:
    """Run a bridge with a USB port; yields it and where it can be attached."""
    with running(["bridge", "--target", target, "--usb-port", "127.0.0.1:0"], home) as bridge:
        ready = bridge.wait_for(r"ready: open usbip://(127\.0\.0\.1:[1-9]\d*)/1-1$")
        yield bridge, ready[1]
        assert bridge.stop() == 0


@asynccontextmanager
async def program(address: str) -> AsyncIterator[CdcAcm]:
    """Attach the port and open it."""
    async with await attach(address, BUS_ID) as driver:
        await driver.open()
        yield driver


async def ask(driver: CdcAcm, line: bytes) -> bytes:
    """Send a line and return what comes up to ok."""
    await driver.write_all(line)
    answer = b""
    while not answer.endswith(b"ok\r\n"):
        answer += await driver.read(1)
    return answer


async def test_programs_come_one_after_another(home: Path, target: str) -> None:
    with offered(home, target) as (bridge, address):
        async with await attach(address, BUS_ID) as driver:
            assert driver.strings[:2] == ["usbshare", "laser at 127.0.0.1"]
            for _ in range(2):
                await driver.open()
                assert b"[VER:1.1h" in await ask(driver, b"$I\n")
                await driver.close()
        bridge.wait_for("was closed")


async def test_the_real_port_gets_the_settings_of_the_program(home: Path, target: str) -> None:
    with offered(home, target) as (_, address):
        async with program(address) as driver:
            assert await driver.configure(LineCoding(57600)) == 0
            await ask(driver, b"$I\n")
            _, listed = run(["bridge", "list", "--target", target, "--json"], home)
            assert json.loads(listed)[0]["baud"] == 57600
            assert await driver.configure(LineCoding(115200)) == 0
            await ask(driver, b"$I\n")
            assert driver.states[-1] & SerialState.DSR


async def test_a_second_client_is_refused_and_a_stranger_hung_up(home: Path, target: str) -> None:
    with offered(home, target) as (_, address):
        async with program(address) as driver:
            with pytest.raises(RefusedError, match="status"):
                await attach(address, BUS_ID)
            with pytest.raises(RefusedError, match="status"):
                await attach(address, "9-9")
            host, _, port = address.rpartition(":")
            with socket.create_connection((host, int(port)), 30) as stranger:
                stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
                assert stranger.recv(64) == b""
            assert b"[VER:1.1h" in await ask(driver, b"$I\n")


async def test_a_stop_unplugs_the_port_and_the_port_can_be_opened_again(
    home: Path, target: str
) -> None:
    with offered(home, target) as (bridge, address):
        async with program(address) as driver:
            await ask(driver, b"$I\n")
            code, said = await asyncio.to_thread(run, ["bridge", "stop", "--target", target], home)
            assert code == 0, said
            await driver.until_gone()
            bridge.wait_for("was hung up")
        code, said = run(["bridge", "stop", "--rearm", "--target", target], home)
        assert code == 0, said
        async with program(address) as again:
            assert b"[VER:1.1h" in await ask(again, b"$I\n")


async def test_a_program_whose_buffers_are_full_is_still_stopped_by_its_own_reset(
    home: Path, target: str
) -> None:
    with offered(home, target) as (_, address):
        async with program(address) as driver:
            await ask(driver, b"$I\n")
            while driver.write(b"G4 P1 (a line of twenty)\n"):
                pass
            waiting = driver.unwritten_bytes
            assert waiting <= 2560
            await driver.write_all(b"\x18")
            answer = b""
            while b"Grbl 1.1h" not in answer:
                answer += await driver.read(1)


async def test_a_bridge_that_is_killed_leaves_nothing_behind(home: Path, target: str) -> None:
    with running(["bridge", "--target", target, "--usb-port", "127.0.0.1:0"], home) as bridge:
        address = bridge.wait_for(r"ready: open usbip://(127\.0\.0\.1:[1-9]\d*)/1-1$")[1]
        async with program(address) as driver:
            bridge.stop(signal.SIGKILL)
            await driver.until_gone()
    with offered(home, target) as (_, address):
        async with program(address) as driver:
            assert b"[VER:1.1h" in await ask(driver, b"$I\n")


@pytest.mark.parametrize(
    ("value", "said"), [("0.0.0.0:3240", "refused to listen"), ("nowhere.invalid", "no address")]
)
def test_an_address_that_others_reach_is_an_error_of_usage(
    home: Path, value: str, said: str
) -> None:
    code, output = run(["bridge", "--target", "localhost:1", "--usb-port", value], home)
    assert (code, said in output) == (2, True), output
    assert "Traceback" not in output
