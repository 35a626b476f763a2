"""Ports whose source is a URL: a device behind ser2net, raw and RFC 2217."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from fakes.waiting import until
from usbshare.line.settings import LineSettings, SettingsChange
from usbshare.serial_svc.line.port_config import PortConfig
from usbshare.serial_svc.ports.port import SerialPort
from usbshare.serial_svc.ports.registry import Registry
from usbshare.serial_svc.sessions.client import Client, Command, Mode
from usbshare.serial_svc.sessions.operations import LineOperations
from usbshare.serial_svc.sessions.session import Session

SER2NET = shutil.which("ser2net", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
pytestmark = pytest.mark.skipif(SER2NET is None, reason="ser2net (Debian package) is not installed")


@pytest.fixture
def device() -> Iterator[tuple[int, str]]:
    master, slave = os.openpty()
    os.set_blocking(master, False)
    yield master, os.ttyname(slave)
    os.close(master)
    os.close(slave)


@pytest.fixture
def start(tmp_path: Path, device: tuple[int, str]) -> Iterator[Callable[[str], int]]:
    """Return what starts ser2net with an accepter such as `tcp` and returns its port."""
    processes: list[subprocess.Popen[bytes]] = []

    def started(accepter: str) -> int:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = int(probe.getsockname()[1])
        config = tmp_path / "ser2net.yaml"
        config.write_text(
            f"connection: &c\n  accepter: {accepter},localhost,{port}\n"
            f"  connector: serialdev,{device[1]},115200n81,local\n"
        )
        processes.append(subprocess.Popen([str(SER2NET), "-n", "-c", str(config)]))
        _wait_until_listening(port)
        return port

    yield started
    for process in processes:
        process.terminate()
        process.wait(30)


@pytest.fixture
async def registry() -> AsyncIterator[Registry]:
    made = Registry(time.monotonic)
    yield made
    await made.close()


async def open_port(registry: Registry, source: str) -> tuple[SerialPort, Session]:
    port = registry.add(PortConfig("far", source, settings=LineSettings()))
    client = Client("s", "usbshare://site/test", "test", "127.0.0.1:1", Mode.CONTROL)
    return port, await port.open_session(client)


@pytest.mark.parametrize(
    ("accepter", "url"),
    [
        ("tcp", "socket://127.0.0.1:{}"),
        ("telnet(rfc2217),tcp", "rfc2217://127.0.0.1:{}?ign_set_control"),
    ],
)
async def test_bytes_pass_both_ways(
    registry: Registry,
    start: Callable[[str], int],
    device: tuple[int, str],
    accepter: str,
    url: str,
) -> None:
    port, session = await open_port(registry, url.format(start(accepter)))
    await session.command(Command(1, None, port.line.latch.epoch, 0, b"G0 X1\n"))
    heard = bytearray()

    def all_is_heard() -> bool:
        heard.extend(_read(device[0]))
        return heard == b"G0 X1\n"

    await until(all_is_heard)
    os.write(device[0], b"ok\r\n")
    await until(lambda: port.line.read_offset == 4)


async def test_settings_reach_the_device_by_rfc2217(
    registry: Registry, start: Callable[[str], int]
) -> None:
    # A pty has no modem lines, and ser2net does not answer what it cannot do.
    url = f"rfc2217://127.0.0.1:{start('telnet(rfc2217),tcp')}?ign_set_control"
    port, session = await open_port(registry, url)
    operations = LineOperations(port.line, session, port.audit)
    done = await operations.configure(1, SettingsChange(baud=57600))
    assert done.settings is not None
    assert done.settings.baud == 57600


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 4096)
    except BlockingIOError:
        return b""


def _wait_until_listening(port: int) -> None:
    end = time.monotonic() + 30
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert time.monotonic() < end, "ser2net does not listen"
