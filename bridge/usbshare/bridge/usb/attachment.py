"""One device of a host, plugged into this computer's kernel for as long as both want it."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass

from usbshare.base.errors import UsbshareError
from usbshare.base.threads import begin
from usbshare.base.watched_task import cancel_all
from usbshare.client.usb.client import AttachStream, UsbClient
from usbshare.client.usb.messages import Opened
from usbshare.usbip.errors import UsbipDeviceError, UsbipNetworkError
from usbshare.usbip.vhci.attach import Plugged, PlugPlaces, plug_in

READ_BYTES = 64 * 1024
BEATS_A_TIMEOUT = 4


@dataclass(frozen=True, slots=True)
class Attached:
    """A device that is plugged in: what it is, and the port of the kernel's controller."""

    opened: Opened
    port: int


class DetachedHereError(UsbipDeviceError):
    """Somebody unplugged the device on this computer, as `usbip detach` does."""


async def attach(
    client: UsbClient,
    device_id: str,
    client_name: str,
    places: PlugPlaces,
    attached: Callable[[Attached], None],
) -> None:
    """Attach a device until one side ends it, and raise why: UsbshareError."""
    stream = client.attach()
    try:
        opened = await stream.open(device_id, client_name)
        plugged = await _plugged_in(opened, places)
        try:
            attached(Attached(opened, plugged.port))
            await _pass_on(stream, plugged, opened)
        finally:
            plugged.end.close()
            plugged.close_helper()
    finally:
        stream.cancel()


async def _plugged_in(opened: Opened, places: PlugPlaces) -> Plugged:
    plugging = begin(plug_in, opened.device.speed, places, opened.devid)
    try:
        return await asyncio.shield(plugging)
    except asyncio.CancelledError:
        plugging.add_done_callback(_unplug_unclaimed)
        raise


def _unplug_unclaimed(plugging: asyncio.Future[Plugged]) -> None:
    if not plugging.cancelled() and plugging.exception() is None:
        plugging.result().end.close()
        plugging.result().close_helper()


async def _pass_on(stream: AttachStream, plugged: Plugged, opened: Opened) -> None:
    link = _Link(stream, opened.link_timeout_s)
    work = [
        asyncio.create_task(each, name=name)
        for name, each in (
            ("to the kernel", _to_kernel(stream, plugged, link)),
            ("from the kernel", _from_kernel(stream, plugged, opened)),
            ("signs of life", link.keep()),
        )
    ]
    try:
        done, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
        failures = [each.exception() for each in done]
        raise next((each for each in failures if isinstance(each, UsbshareError)), failures[0]) or (
            UsbipNetworkError("the host ended the attachment")
        )
    finally:
        await cancel_all(*work)


async def _to_kernel(stream: AttachStream, plugged: Plugged, link: _Link) -> None:
    loop = asyncio.get_running_loop()
    while (received := await stream.receive()) is not None:
        link.heard()
        if isinstance(received, bytes):
            try:
                await loop.sock_sendall(plugged.end, received)
            except OSError as error:
                raise DetachedHereError("the device was detached on this computer") from error
    raise UsbipNetworkError("the host ended the attachment")


async def _from_kernel(stream: AttachStream, plugged: Plugged, opened: Opened) -> None:
    loop = asyncio.get_running_loop()
    while data := await _received(loop, plugged):
        await stream.send(data)
    raise DetachedHereError(f"'{opened.device.id}' was detached on this computer")


async def _received(loop: asyncio.AbstractEventLoop, plugged: Plugged) -> bytes:
    try:
        return await loop.sock_recv(plugged.end, READ_BYTES)
    except OSError:
        return b""


class _Link:
    """Shows that we live, and notices a host that does not."""

    def __init__(self, stream: AttachStream, timeout_s: float) -> None:
        self._stream = stream
        self._timeout_s = timeout_s
        self._heard_at = time.monotonic()

    def heard(self) -> None:
        """Note that something came."""
        self._heard_at = time.monotonic()

    async def keep(self) -> None:
        """Send signs of life; raises UsbipNetworkError when none is answered for a while."""
        for number in itertools.count(1):
            await self._stream.beat(number)
            await asyncio.sleep(self._timeout_s / BEATS_A_TIMEOUT)
            silent_s = time.monotonic() - self._heard_at
            if silent_s > self._timeout_s:
                raise UsbipNetworkError(f"the host has been silent for {silent_s:.1f} s")
