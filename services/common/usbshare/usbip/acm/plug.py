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

MOST_UNSENT_BYTES = 256 * 1024
TAKES_S = 10.0


class TransferDevice(Protocol):
    """A device that answers transfers in its own order."""

    def submit(self, asked: Submit) -> None:
        """Do a transfer now or later, and say so by `reply`."""

    def take_back(self, seqnum: int) -> None:
        """Forget a transfer, which must not be answered any more."""

    def pause(self) -> None:
        """Answer no reads until `resume`: what was answered has not left."""

    def resume(self) -> None:
        """Answer reads again."""

    def unplugged(self) -> None:
        """Note that nothing will be asked any more."""


class Plug(asyncio.Protocol):
    """Serves one device to the kernel, or whoever is at the other end, until that ends.

    `ended` is called once with the reason, but not after `pull`.

    Whoever does not take answers gets no more data, and is asked on all the same, since a stop may
    be among the next transfers. At MOST_UNSENT_BYTES nothing more is read, for TAKES_S at most.
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
        self._too_late: asyncio.TimerHandle | None = None

    def reply(self, reply: SubmitReply) -> None:
        """Answer a transfer; ignored if it is not, or no longer, asked for."""
        if self._forget(reply.seqnum):
            self._write(reply.encode())

    def pull(self) -> None:
        """Unplug the device: no callback and no answer follows."""
        self._device = None
        self._sizes.clear()
        self._read_on()
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

    def pause_writing(self) -> None:
        """Have the device hold its data back."""
        if self._device is not None:
            self._device.pause()

    def resume_writing(self) -> None:
        """Go on where the other side takes what it asked for."""
        self._read_on()
        if self._device is not None:
            self._device.resume()
            self._take_commands()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the other side has ended the connection."""
        self._end(f"{exc}" if exc else "the connection ended")

    def _take_commands(self) -> None:
        try:
            while (
                self._device is not None
                and self._too_late is None
                and (command := self._parser.command()) is not None
            ):
                if isinstance(command, Submit):
                    self._submit(command, self._device)
                else:
                    self._unlink(command, self._device)
        except UsbipProtocolError as error:
            _log.warning("the other side violated the USB/IP protocol: %s", error)
            self._break(str(error))

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
        self._write(UnlinkReply(unlink.seqnum, UNLINKED if is_there else 0).encode())
        if is_there:
            device.take_back(unlink.target)

    def _write(self, data: bytes) -> None:
        transport = self._transport
        if transport is None:
            return
        transport.write(data)
        if self._too_late is None and transport.get_write_buffer_size() > MOST_UNSENT_BYTES:
            transport.pause_reading()
            loop = asyncio.get_running_loop()
            self._too_late = loop.call_later(TAKES_S, self._takes_nothing)

    def _read_on(self) -> None:
        late, self._too_late = self._too_late, None
        if late is not None:
            late.cancel()
            if self._transport is not None:
                self._transport.resume_reading()

    def _takes_nothing(self) -> None:
        _log.warning("the other side accepted no answers for %g s", TAKES_S)
        self._break(f"it accepted no data for {TAKES_S:g} s")

    def _break(self, reason: str) -> None:
        if self._transport is not None:
            self._transport.abort()
        self._end(reason)

    def _forget(self, seqnum: int) -> bool:
        size = self._sizes.pop(seqnum, None)
        self._in_flight_bytes -= size or 0
        return size is not None

    def _end(self, reason: str) -> None:
        device, self._device = self._device, None
        self._read_on()
        if device is not None:
            self._sizes.clear()
            device.unplugged()
            self._ended(reason)
