"""A device and a program that exchange random bytes through real service, network and bridge."""

from __future__ import annotations

import os
import select
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fakes.network import Network, running_network
from fakes.processes import Process, events, running, serial_service

DEADLINE_S = 60.0
BAUD = 12_000_000


@dataclass(frozen=True, slots=True)
class Rig:
    """A device and a program, joined by service, network and bridge."""

    home: Path
    target: str
    service: Process
    device: int
    program: int
    network: Network
    bridge: Process

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return what the bridge has reported under that name."""
        return events(self.bridge, name)

    def wait_for(self, name: str, count: int) -> list[dict[str, Any]]:
        """Return what it reported once it has done so often enough."""
        end = time.monotonic() + DEADLINE_S
        while len(found := self.events(name)) < count:
            assert self.bridge.process.poll() is None
            assert time.monotonic() < end, f"not reported {count} times: {name}"
            select.select([], [], [], 0.01)
        return found

    def check_ends(self) -> None:
        """Fail if more bytes come than were sent, or the program's descriptor is dead."""
        for source, sink in ((self.program, self.device), (self.device, self.program)):
            os.write(source, b"end\n")
            assert read(sink, 4) == b"end\n"


def read(source: int, size: int) -> bytes:
    data = b""
    while len(data) < size and select.select([source], [], [], DEADLINE_S)[0]:
        data += os.read(source, 65536)
    return data


@contextmanager
def rig(home: Path, *, more_config: str = "") -> Iterator[Rig]:
    device, slave = os.openpty()
    make_raw(slave)
    config = home / "usbshare.toml"
    source = os.ttyname(slave)
    config.write_text(
        f'[ports.laser]\nsource = "{source}"\nprofile = "raw"\nbaud = {BAUD}\n{more_config}'
    )
    with (
        serial_service(home, "--config", str(config)) as (service, server),
        running_network(server) as network,
        running(["bridge", "--json", "--target", network.target, "--vcom", "C"], home) as bridge,
    ):
        bridge.wait_for('"event": "ready"')
        os.close(slave)
        program = os.open(home / "run" / "usbshare" / "C", os.O_RDWR | os.O_NOCTTY)
        bridge.wait_for('"event": "opened"')
        try:
            yield Rig(home, network.target, service, device, program, network, bridge)
        except BaseException as error:
            told = [line for line in bridge.lines if '"event": "status"' not in line]
            error.add_note("\n".join(["bridge:", *told, "service:", service.output]))
            raise
        finally:
            os.close(program)
            os.close(device)


def make_raw(terminal: int) -> None:
    attributes = termios.tcgetattr(terminal)
    attributes[0] = attributes[1] = attributes[3] = 0
    termios.tcsetattr(terminal, termios.TCSANOW, attributes)
