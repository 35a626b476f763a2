"""Plugs one device of a host into this computer's kernel, until either side ends it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass

from usbshare.base.errors import UsbshareError
from usbshare.base.silence import Silence
from usbshare.base.threads import begin
from usbshare.base.watched_task import cancel_all
from usbshare.client.usb.client import AttachStream, UsbClient
from usbshare.client.usb.messages import Opened
from usbshare.usbip.attachment import BEATS_A_TIMEOUT, READ_BYTES, TAKES_S
from usbshare.usbip.errors import UsbipDeviceError, UsbipNetworkError
from usbshare.usbip.vhci.attach import Plugged, PlugPlaces, VhciError, plug_in

# The host resets devices one after another, each for 5 s at most.
OPEN_S = 30.0


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
        opened = await _opened(stream, device_id, client_name)
        await _Attachment(stream, opened, places, attached).run()
    finally:
        stream.cancel()


async def _opened(stream: AttachStream, device_id: str, client_name: str) -> Opened:
    try:
        async with asyncio.timeout(OPEN_S):
            return await stream.open(device_id, client_name)
    except TimeoutError as error:
        raise UsbipNetworkError(f"the host did not answer within {OPEN_S:g} s") from error


class _Attachment:
    """A device that is ours: signs of life go both ways from the first moment to the last."""

    def __init__(
        self,
        stream: AttachStream,
        opened: Opened,
        places: PlugPlaces,
        attached: Callable[[Attached], None],
    ) -> None:
        self._stream = stream
        self._opened = opened
        self._places = places
        self._attached = attached
        self._silence = Silence(opened.link_timeout_s)
        self._plugged: asyncio.Future[Plugged] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Plug it in and pass on what is said, until one side ends it; raises why."""
        work = [
            asyncio.create_task(each, name=name)
            for name, each in (
                ("to the kernel", self._to_kernel()),
                ("from the kernel", self._from_kernel()),
                ("signs of life", self._beat()),
                ("host is alive", self._watch_host()),
            )
        ]
        try:
            done, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
            for each in sorted(done, key=_is_unforeseen):
                each.result()
        finally:
            try:
                await cancel_all(*work)
            finally:  # also where this is cancelled twice
                if self._plugged.done():
                    _unplug(self._plugged.result())

    async def _to_kernel(self) -> None:
        while (received := await self._stream.receive()) is not None:
            self._silence.heard()
            if isinstance(received, bytes):
                with self._silence.busy():
                    await self._give(received)
        raise UsbipNetworkError("the host ended the attachment")

    async def _give(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(TAKES_S):
                await loop.sock_sendall((await asyncio.shield(self._plugged)).end, data)
        except TimeoutError as error:
            raise VhciError(f"this computer's kernel accepted no data for {TAKES_S:g} s") from error
        except OSError as error:
            raise self._detached_here() from error

    async def _from_kernel(self) -> None:
        plugged = await _plugged_in(self._opened, self._places)
        self._plugged.set_result(plugged)
        self._attached(Attached(self._opened, plugged.port))
        while data := await _received(plugged):
            await self._stream.send(data)
        raise self._detached_here()

    async def _beat(self) -> None:
        for number in itertools.count(1):
            await self._stream.beat(number)
            await asyncio.sleep(self._opened.link_timeout_s / BEATS_A_TIMEOUT)

    async def _watch_host(self) -> None:
        silent_s = await self._silence.too_long()
        raise UsbipNetworkError(f"the host has been silent for {silent_s:.1f} s")

    def _detached_here(self) -> DetachedHereError:
        return DetachedHereError(f"'{self._opened.device.id}' was detached on this computer")


async def _plugged_in(opened: Opened, places: PlugPlaces) -> Plugged:
    plugging = begin(plug_in, opened.device.speed, places, opened.devid)
    try:
        return await asyncio.shield(plugging)
    except asyncio.CancelledError:
        plugging.add_done_callback(_unplug_unclaimed)
        raise


def _is_unforeseen(ended: asyncio.Task[None]) -> bool:
    return not isinstance(ended.exception(), UsbshareError)


def _unplug_unclaimed(plugging: asyncio.Future[Plugged]) -> None:
    if not plugging.cancelled() and plugging.exception() is None:
        _unplug(plugging.result())


def _unplug(plugged: Plugged) -> None:
    plugged.end.close()
    plugged.close_helper()


async def _received(plugged: Plugged) -> bytes:
    try:
        return await asyncio.get_running_loop().sock_recv(plugged.end, READ_BYTES)
    except OSError:
        return b""
