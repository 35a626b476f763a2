"""A USB/IP server for trying things by hand, with devices as `lsusb -v` shows real ones.

    cd tests && python -m fakes.usbip_mock arduino_uno_r3 arduino_uno_r3 ch340 --fail 1-2

Each device is named by its file in `usbip_captures`; the same one twice makes twins. A serial port
answers as a simulated GRBL controller. Devices named with `--fail` are listed and cannot be
attached.
"""

from __future__ import annotations

import argparse
import asyncio
import sys

from fakes.lsusb import capture, capture_names
from fakes.usbip_device import FakeAcmDevice, FakeDevice, Model
from fakes.usbip_server import FakeServer
from usbshare.line.settings import ModemLines
from usbshare.sim.device import SimDevice, sim_device
from usbshare.usbip.cdc import acm_functions


class GrblBoard(FakeAcmDevice):
    """A controller with native USB: a simulated GRBL reads what the host writes."""

    def __init__(self, model: Model, busid: str, devnum: int) -> None:
        super().__init__(model, busid, devnum)
        self._machine: SimDevice = sim_device("sim://grbl")
        self._waiting = bytearray()

    async def start(self) -> None:
        """Switch the board on."""
        await self._machine.open(self)

    async def stop(self) -> None:
        """Switch it off."""
        await self._machine.close()

    def received(self, endpoint: int, data: bytes) -> None:
        """Hand on what the host wrote; the next transfer waits while the machine takes none."""
        if endpoint == self.port.bulk_out.number:
            self._waiting += data
            self.writable()

    def writable(self) -> None:
        """Hand on more."""
        taken = self._machine.write(bytes(self._waiting))
        del self._waiting[:taken]
        if self._waiting:
            self.takes.clear()
        else:
            self.takes.set()

    def data_received(self, data: bytes) -> None:
        """Send what the machine says."""
        self.say(data)

    def lines_changed(self, lines: ModemLines) -> None:
        """Do nothing: it has none."""

    def device_lost(self, reason: str) -> None:
        """Do nothing: it is never lost."""


def device_of(name: str, busid: str, devnum: int) -> FakeDevice:
    """Return a device as its capture says: a board if it has a serial port."""
    model = capture(name)
    is_port = any(acm_functions(each) for each in model.configurations)
    return GrblBoard(model, busid, devnum) if is_port else FakeDevice(model, busid, devnum)


async def run(names: list[str], failing: list[str], host: str, port: int) -> None:
    """Serve until interrupted."""
    devices = [device_of(name, f"1-{n}", n + 1) for n, name in enumerate(names, 1)]
    boards = [each for each in devices if isinstance(each, GrblBoard)]
    for board in boards:
        await board.start()
    server = FakeServer(*devices)
    server.failing.update(failing)
    await server.start(host, port)
    for name, device in zip(names, devices, strict=True):
        ids = f"{device.exported.vid:04x}:{device.exported.pid:04x}"
        sys.stdout.write(f"usbip://{host}:{server.port}/{device.busid}  {ids}  {name}\n")
    sys.stdout.flush()
    try:
        await asyncio.Event().wait()
    finally:
        await server.stop()
        for board in boards:
            await board.stop()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("devices", nargs="+", choices=capture_names(), metavar="DEVICE")
    parser.add_argument("--fail", action="append", default=[], metavar="BUSID")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes any that is free")
    given = parser.parse_args()
    try:
        asyncio.run(run(given.devices, given.fail, given.host, given.port))
    except KeyboardInterrupt:
        sys.stderr.write("ended\n")


if __name__ == "__main__":
    main()
