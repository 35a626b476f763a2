"""A service, a bridge with a USB port, and a network between them, to be put through faults."""

from __future__ import annotations

import signal
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import serial

from fakes.network import Network, running_network
from fakes.processes import Process, environment, free_port
from usbshare.usbip.vhci.helper import Vhci
from vm.real_kernel import DEADLINE_S, POLL_S, READY

ATTEMPT_S = 5.0
BLACK_HOLE_S = 2.0
_STABLE_NAMES = Path("/dev/serial/by-id")
_TTYS = Path("/sys/class/tty")
_USB_DEVICES = Path("/sys/bus/usb/devices")


class Rig:
    """`name` is its port's, by which the kernel tells it from those of other rigs."""

    def __init__(self, home: Path, name: str, listen: str, network: Network) -> None:
        self.network = network
        self._home = home
        self._name = name
        self._listen = listen
        self._service: Process | None = None
        self._bridge: Process | None = None

    def serve(self) -> None:
        """Start the service, instead of one that is killed."""
        self._kill(self._service)
        words = ["serial-svc", "--listen", self._listen, "--config", str(self._config())]
        self._service = Process(words, environment(self._home))
        self._service.wait_for("ready at", DEADLINE_S)

    def join(self) -> None:
        """Start the bridge, instead of one that is killed."""
        self._kill(self._bridge)
        words = ["bridge", "--target", self.network.target, "--usb-port"]
        self._bridge = Process(words, environment(self._home))
        self._bridge.wait_for(READY, DEADLINE_S)

    def unplug(self) -> None:
        """Unplug its port, as `usbip detach` does."""
        (number,) = self._plugged()
        Path("/sys/devices/platform/vhci_hcd.0/detach").write_text(str(number))

    def end(self) -> None:
        """End both."""
        for each in (self._bridge, self._service):
            if each is not None:
                each.stop()

    @property
    def said(self) -> str:
        """What both have printed, and how they ended if they have."""
        both = {"bridge": self._bridge, "service": self._service}
        return "\n\n".join(
            f"{name} ({each.process.poll()}):\n{each.output}"
            for name, each in both.items()
            if each is not None
        )

    def open(self) -> serial.Serial:
        """Open its port as a program does; raises OSError where it is not there."""
        port = serial.Serial(self._tty(), 115200, timeout=ATTEMPT_S, write_timeout=ATTEMPT_S)
        try:
            if port.name == self._tty():
                return port
            raise OSError("another rig's was plugged in there")
        except OSError:
            port.close()
            raise

    def until_open(self) -> serial.Serial:
        """Open its port once that is possible."""
        opened: list[serial.Serial] = []

        def it_opens() -> bool:
            with suppress(OSError):
                opened.append(self.open())
            return bool(opened)

        self._until(it_opens)
        return opened[0]

    def until_usable(self) -> None:
        """Return once a program gets an answer, and the port has its stable name, and no twin.

        A busy machine's pauses may cost a link, too, so one attempt proves nothing.
        """
        for holds in (self._is_usable, self._is_plugged_in_once, self._has_stable_name):
            self._until(holds)

    def _until(self, holds: Callable[[], bool]) -> None:
        end = time.monotonic() + DEADLINE_S
        while not holds():
            assert time.monotonic() < end, f"never: {holds.__name__}\n{self.said}"
            time.sleep(POLL_S)

    def _is_usable(self) -> bool:
        """Return whether a program gets an answer; its reset releases a port whose job was lost."""
        try:
            with self.open() as port:
                port.write(b"\x18")
                if b"Grbl" not in port.read_until(b"]\r\n"):
                    return False
                port.write(b"$X\n$I\n")
                answer = b""
                while b"[VER:" not in answer:
                    got = port.read(64)
                    if not got:
                        return False
                    answer += got
        except (OSError, termios.error):
            return False
        return True

    def _is_plugged_in_once(self) -> bool:
        return len(self._plugged()) == 1

    def _has_stable_name(self) -> bool:
        with suppress(OSError):
            links = [each.resolve() for each in _STABLE_NAMES.glob(f"*_{self._name}_at_*")]
            return links == [Path(self._tty())]
        return False

    def _tty(self) -> str:
        """Return the path of its serial port; raises OSError where it has none."""
        for each in _TTYS.glob("ttyACM*"):
            with suppress(OSError):
                if self._is_ours(each / "device/.."):
                    return f"/dev/{each.name}"
        raise OSError("it is not plugged in")

    def _plugged(self) -> list[int]:
        """Return the controller's ports that it is plugged into."""
        used = [each for each in Vhci().ports() if not each.is_free]
        return [each.number for each in used if self._is_ours(_USB_DEVICES / each.busid)]

    def _is_ours(self, device: Path) -> bool:
        with suppress(OSError):  # it is just coming, or going
            return (device / "product").read_text().startswith(f"{self._name} at ")
        return False

    def _config(self) -> Path:
        config = self._home / "usbshare.toml"
        config.write_text(f'[ports.{self._name}]\nsource = "sim://grbl"\nprofile = "grbl"\n')
        return config

    def _kill(self, process: Process | None) -> None:
        if process is not None:
            process.stop(signal.SIGKILL)


@contextmanager
def rig(home: Path, name: str) -> Iterator[Rig]:
    """Run one; all that it has lies under `home`."""
    home.mkdir()
    listen = f"127.0.0.1:{free_port()}"
    with running_network(listen) as network:
        made = Rig(home, name, listen, network)
        try:
            made.serve()
            made.join()
            yield made
        finally:
            made.end()


def kill_the_service(used: Rig) -> None:
    used.serve()


def unplug(used: Rig) -> None:
    used.unplug()


def black_hole(used: Rig) -> None:
    used.network.black_hole()
    time.sleep(BLACK_HOLE_S)
    used.network.heal()


def kill_the_bridge(used: Rig) -> None:
    used.join()


FAULTS: tuple[Callable[[Rig], None], ...] = (kill_the_service, unplug, black_hole, kill_the_bridge)
