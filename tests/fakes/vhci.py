"""A kernel's vhci_hcd and root's helper before it: plugs in what it gets, and shows it in sysfs.

Source: drivers/usb/usbip/vhci_sysfs.c of Linux 6.1 (the files), and `usbshare.usbip.vhci.helper`
(the socket). The driver that takes the device is `CdcAcm`; its tty is a pty.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fakes.cdc_acm import CdcAcm
from fakes.waiting import until
from usbshare.base.watched_task import in_background
from usbshare.usbip.vhci.attach import PlugPlaces

_HEAD = "hub port sta spd dev      sockfd local_busid"
_PORTS = 4


class FakeVhci:
    """The kernel: `drivers` are those of the devices that were plugged in, the last at the end."""

    def __init__(self, folder: Path) -> None:
        self.drivers: list[CdcAcm] = []
        self.refuses = ""
        self.refused = 0
        self.dev = folder / "dev"
        self.places = PlugPlaces(folder / "sys", folder / "attach.sock")
        self._files = folder / "sys/devices/platform/vhci_hcd.0"
        self._files.mkdir(parents=True)
        (self._files / "attach").touch(mode=0o444)
        (self.dev / "serial/by-id").mkdir(parents=True)
        self._master, self._slave = os.openpty()
        self.tty = self._slave
        self._used: dict[int, str] = {}
        self._ports = iter(range(1, 1000))
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(self.places.helper))
        self._listening.listen()
        self._show()

    async def driver(self, number: int = 0) -> CdcAcm:
        """Return the driver of a device once it has a tty."""
        await until(lambda: len(self.drivers) > number)
        return self.drivers[number]

    def start(self) -> None:
        """Take devices."""
        threading.Thread(target=self._accept, daemon=True).start()

    async def stop(self) -> None:
        """Take no more, and unplug all."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        os.close(self._master)
        os.close(self._slave)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            data, descriptors, _, _ = socket.recv_fds(client, 64, 1)
            if not descriptors:  # somebody only looked whether it is there
                client.close()
                continue
            self._loop.call_soon_threadsafe(self._begin, client, data, descriptors)

    def _begin(self, client: socket.socket, data: bytes, descriptors: list[int]) -> None:
        end = socket.socket(fileno=descriptors[0])
        if self.refuses:
            self.refused += 1
            client.sendall(f"error {self.refuses}\n".encode())
            client.close()
            end.close()
            return
        word, devid, speed = data.split()
        assert (word, speed) == (b"attach", b"2")
        task = in_background(self._plugged(client, end, int(devid)), "vhci port")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _plugged(self, client: socket.socket, end: socket.socket, devid: int) -> None:
        with client:
            port = min(set(range(_PORTS)) - self._used.keys())
            self._used[port] = f"{devid:08x} 000003 0-0"
            client.sendall(f"port {port}\n".encode())
            async with CdcAcm(end, devid) as driver:
                try:
                    self._appear(port, devid)
                    self.drivers.append(driver)
                    await driver.is_gone.wait()
                finally:
                    self._vanish(port)

    def _appear(self, port: int, devid: int) -> None:
        number = next(self._ports)
        busid, name = f"4-{number}", f"ttyACM{number}"
        self._used[port] = f"{devid:08x} 000003 {busid}"
        (self.places.sysfs / f"bus/usb/devices/{busid}:1.0/tty/{name}").mkdir(parents=True)
        (self.dev / name).symlink_to(os.ttyname(self._slave))
        self._show()

    def _vanish(self, port: int) -> None:
        busid = self._used.pop(port).split()[-1]
        shutil.rmtree(self.places.sysfs / f"bus/usb/devices/{busid}:1.0", ignore_errors=True)
        (self.dev / f"ttyACM{busid.partition('-')[2]}").unlink(missing_ok=True)
        self._show()

    def _show(self) -> None:
        free = "00000000 000000 0-0"
        rows = [
            f"hs  {port:04d} {6 if port in self._used else 4:03d} 002 {self._used.get(port, free)}"
            for port in range(_PORTS)
        ]
        (self._files / "status").write_text("\n".join([_HEAD, *rows]) + "\n")


@asynccontextmanager
async def fake_vhci(folder: Path) -> AsyncIterator[FakeVhci]:
    """Run a kernel that takes devices."""
    vhci = FakeVhci(folder)
    vhci.start()
    try:
        yield vhci
    finally:
        await vhci.stop()
