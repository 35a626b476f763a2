"""The connection of a device that sees every transfer as it comes, however many wait before it.

`usbshare.usbip.server` serves a device whose transfers wait for one another. A serial port must
see what is in all of them, since a stop may be among those that wait.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol, cast

from usbshare.usbip.errors import UNLINKED, UsbipProtocolError
from usbshare.usbip.limits import DEFAULT_LIMITS, Limits
from usbshare.usbip.messages import Submit, SubmitReply, Unlink, UnlinkReply
from usbshare.usbip.parsers import RequestParser

_log = logging.getLogger(__name__)


class TransferDevice(Protocol):
    """A device that answers transfers in its own order."""

    def submit(self, asked: Submit) -> None:
        """Do a transfer now or later, and say so by `reply`."""

    def take_back(self, seqnum: int) -> None:
        """Forget a transfer, which must not be answered any more."""

    def unplugged(self) -> None:
        """Note that nothing will be asked any more."""


class Plug(asyncio.Protocol):
    """Serves one device to the kernel, or whoever is at the other end, until that ends.

    `ended` is called once with the reason, but not after `pull`.
    """

    def __init__(
        self,
        make_device: Callable[[Callable[[SubmitReply], None]], TransferDevice],
        ended: Callable[[str], None],
        limits: Limits = DEFAULT_LIMITS,
        parser: RequestParser | None = None,
    ) -> None:
        self._device: TransferDevice | None = make_device(self.reply)
        self._ended = ended
        self._limits = limits
        self._parser = parser or RequestParser(limits)
        self._sizes: dict[int, int] = {}
        self._in_flight_bytes = 0
        self._transport: asyncio.Transport | None = None

    def reply(self, reply: SubmitReply) -> None:
        """Answer a transfer; ignored if it is not, or no longer, asked for."""
        if self._forget(reply.seqnum) and self._transport is not None:
            self._transport.write(reply.encode())

    def pull(self) -> None:
        """Unplug the device: neither side hears of the other any more."""
        self._device = None
        self._sizes.clear()
        if self._transport is not None:
            self._transport.abort()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to answer."""
        self._transport = cast(asyncio.Transport, transport)
        if self._device is None:
            self._transport.abort()
        else:
            self._take_commands()

    def data_received(self, data: bytes) -> None:
        """Take what is asked."""
        if self._device is not None:
            self._parser.feed(data)
            self._take_commands()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the other side has ended the connection."""
        self._end(f"{exc}" if exc else "the connection ended")

    def _take_commands(self) -> None:
        try:
            while self._device is not None and (command := self._parser.command()) is not None:
                if isinstance(command, Submit):
                    self._submit(command, self._device)
                else:
                    self._unlink(command, self._device)
        except UsbipProtocolError as error:
            _log.warning("the other side broke the protocol of USB/IP: %s", error)
            if self._transport is not None:
                self._transport.abort()
            self._end(str(error))

    def _submit(self, asked: Submit, device: TransferDevice) -> None:
        if asked.seqnum in self._sizes:
            raise UsbipProtocolError(f"USBIP_CMD_SUBMIT.seqnum {asked.seqnum} is in use")
        if len(self._sizes) >= self._limits.in_flight:
            raise UsbipProtocolError(f"more than {self._limits.in_flight} transfers are unanswered")
        if self._in_flight_bytes + asked.length > self._limits.in_flight_bytes:
            raise UsbipProtocolError(
                f"unanswered transfers of more than {self._limits.in_flight_bytes} bytes"
            )
        self._sizes[asked.seqnum] = asked.length
        self._in_flight_bytes += asked.length
        device.submit(asked)

    def _unlink(self, unlink: Unlink, device: TransferDevice) -> None:
        """Take a transfer back; vhci_hcd drops a device that answers one after that."""
        is_there = self._forget(unlink.target)
        if self._transport is not None:
            status = UNLINKED if is_there else 0
            self._transport.write(UnlinkReply(unlink.seqnum, status).encode())
        if is_there:
            device.take_back(unlink.target)

    def _forget(self, seqnum: int) -> bool:
        size = self._sizes.pop(seqnum, None)
        self._in_flight_bytes -= size or 0
        return size is not None

    def _end(self, reason: str) -> None:
        device, self._device = self._device, None
        if device is not None:
            self._sizes.clear()
            device.unplugged()
            self._ended(reason)
