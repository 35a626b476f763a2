"""What the tests on a real kernel share: what it says of itself, and a service with a USB port."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import serial

from fakes.network import Network, running_network
from fakes.processes import Process, running
from usbshare.usbip.vhci.helper import Vhci
from vm.kernel_log import TROUBLE

DEADLINE_S = 240.0  # a virtual machine without KVM takes its time
POLL_S = 0.05
# A busy virtual machine is silent for longer than a broken link; what was written before a lost
# link waits for a person, who is not there.
_PATIENCE = "link_timeout_s = 20"
USB_HOST = f"[usb]\n{_PATIENCE}\n"
READY = r"ready: open (/dev/\S+)$"


def until(condition: Callable[[], object], what: str) -> None:
    """Return once the condition holds."""
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, f"never: {what}"
        time.sleep(POLL_S)


def used_ports() -> int:
    """Return how many devices are plugged into the virtual controller."""
    return sum(not each.is_free for each in Vhci().ports())


def troubles() -> list[str]:
    """Return the kernel's warnings since its start that its buffer still has."""
    said = subprocess.run(["dmesg"], capture_output=True, text=True, check=True).stdout
    return [line for line in said.splitlines() if TROUBLE.search(line)]


def users_of_the_usbip_port() -> str:
    """Return who listens at, or is connected to, port 3240: nobody ever."""
    words = ["lsof", "-nP", "-i", ":3240"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.stderr == "", done.stderr
    return done.stdout


def open_when_there(
    path: str, baudrate: int = 115200, bytesize: int = 8, parity: str = "N", stopbits: float = 1
) -> serial.Serial:
    """Open a port once it is there and can be: a pulled one is gone for a moment."""
    end = time.monotonic() + DEADLINE_S
    while True:
        try:
            return serial.Serial(
                *(path, baudrate, bytesize, parity, stopbits),
                timeout=DEADLINE_S,
                write_timeout=DEADLINE_S,
            )
        except (OSError, serial.SerialException):
            assert time.monotonic() < end, f"{path} cannot be opened"
            time.sleep(POLL_S)


def ask(port: serial.Serial, line: bytes = b"$I\n") -> bytes:
    """Send a line and return its answer."""
    port.write(line)
    answer = b""
    while not answer.endswith(b"ok\r\n"):
        got = port.readline()
        assert got, f"no end of the answer: {answer!r}"
        answer += got
    return answer


@dataclass(slots=True)
class Shared:
    """A service with a port, the network before it, and where a bridge connects."""

    home: Path
    service: Process
    network: Network

    @property
    def arguments(self) -> list[str]:
        """The bridge's command."""
        return ["bridge", "--target", self.network.target, "--usb-port"]

    @contextmanager
    def bridge(self) -> Iterator[tuple[Process, str]]:
        """Run a bridge; gives it and the path of its port."""
        with running(self.arguments, self.home) as bridge:
            yield bridge, bridge.wait_for(READY, DEADLINE_S)[1]


@contextmanager
def shared(home: Path, source: str, profile: str = "grbl") -> Iterator[Shared]:
    """Run a service with this port, and a network before it."""
    config = home / "usbshare.toml"
    port = f'source = "{source}"\nprofile = "{profile}"\n{_PATIENCE}\n'
    config.write_text(f"[ports.laser]\n{port}")
    words = ["serial-svc", "--listen", "127.0.0.1:0", "--config", str(config)]
    with running(words, home) as service:
        target = service.wait_for(r"ready at (127\.0\.0\.1:\d+)", DEADLINE_S)[1]
        with running_network(target) as network:
            yield Shared(home, service, network)
