"""The virtual port over UDP: a datagram is a line; each sender of late gets what comes back."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections import deque

from usbshare.base.errors import ConfigError
from usbshare.bridge.local_ports.loopback_address import LoopbackAddress
from usbshare.bridge.local_ports.udp_senders import (
    MOST_DATAGRAM_BYTES,
    Address,
    Senders,
    packed,
    sender_of,
)
from usbshare.bridge.local_ports.virtual_port import VirtualPortListener
from usbshare.line.settings import LineEvents, LineSettings, ModemLines

log = logging.getLogger(__name__)

DEFAULT_PORT = 2324
MOST_WAITING = 64
MOST_LINE_BYTES = 1024
LEFT_S = 5.0
MOST_UNSENT_BYTES = 64 * 1024
_ALONE = (b"?", b"!", b"~", b"\x18")


def is_plain(data: bytes) -> bool:
    """Return whether a datagram can be a line: what browsers send over UDP (STUN, QUIC) is none."""
    rest = data.strip(b"\r\n")
    return data in _ALONE or (
        b"\n" not in rest and all(32 <= each < 127 or each == 9 for each in rest)
    )


def send_datagram(
    transport: asyncio.DatagramTransport | None, data: bytes, address: Address
) -> bool:
    """Send a datagram; False if it is dropped, since the system takes no more.

    On a transport that is closed, or not there yet, nothing is sent.
    """
    if transport is None or transport.is_closing():
        return True
    if int(getattr(transport, "get_write_buffer_size", int)()) > MOST_UNSENT_BYTES:
        return False
    transport.sendto(data, address)
    return True


async def listening_datagrams(
    address: LoopbackAddress, protocol: asyncio.DatagramProtocol, path: str
) -> asyncio.DatagramTransport:
    """Bind to the address; raises ConfigError."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_DGRAM)
    try:
        listening.bind((address.host, address.port))
    except OSError as error:
        listening.close()
        why = os.strerror(error.errno or 0).lower()
        raise ConfigError(f"cannot offer {path}: {why}: choose another port") from error
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: protocol, sock=listening)
    return transport


class UdpPort(asyncio.DatagramProtocol):
    """VirtualPort over UDP; a program has it open for 60 s after its last datagram.

    UDP cannot make a program wait: past 64 lines that wait, new ones are dropped, and answered so.
    """

    scheme = "udp"

    def __init__(self, address: LoopbackAddress) -> None:
        self.dropped = 0
        self._address = address
        self._senders: Senders[Address] = Senders(time.monotonic)
        self._waiting: deque[bytes] = deque()
        self._most_bytes = MOST_LINE_BYTES
        self._unsent = bytearray()
        self._heard_at = 0.0
        self._is_passing = False
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.DatagramTransport | None = None
        self._listener: VirtualPortListener

    @property
    def path(self) -> str:
        """Where the program sends to; the real port once started."""
        return f"{self.scheme}://{self._address}"

    def far_end_is(self, host: str, port_id: str) -> None:
        """Do nothing: UDP has no description."""

    async def start(self, listener: VirtualPortListener, settings: LineSettings) -> None:
        """Listen; raises ConfigError when the address cannot be had."""
        del settings
        self._listener = listener
        self._transport = await listening_datagrams(self._address, self, self.path)
        port = int(self._transport.get_extra_info("sockname")[1])
        self._address = LoopbackAddress(self._address.host, port)
        log.info("virtual port ready: %s", self.path)

    def write(self, data: bytes) -> int:
        """Send whole lines to everybody who spoke of late; takes all."""
        self._unsent += data
        lines = []
        while (end := self._unsent.find(b"\n")) >= 0 or len(self._unsent) > MOST_LINE_BYTES:
            size = end + 1 if end >= 0 else MOST_LINE_BYTES
            lines.append(bytes(self._unsent[:size]))
            del self._unsent[:size]
        for datagram in packed(lines):
            for address in self._senders.addresses():
                self._send(datagram, address)
        return len(data)

    def limit_reading(self, most_bytes: int) -> None:
        """Pass on only lines of at most so many bytes; the others wait."""
        self._most_bytes = most_bytes
        self._pass_on()

    def apply_settings(self, settings: LineSettings) -> None:
        """Do nothing: UDP carries no settings."""

    def show_lines(self, lines: ModemLines) -> None:
        """Do nothing: UDP carries no modem lines."""

    @property
    def is_left(self) -> bool:
        """Whether nobody has spoken for a while: then another program may have the port."""
        return not self._waiting and time.monotonic() - self._heard_at >= LEFT_S

    def show_events(self, events: LineEvents) -> None:
        """Do nothing: UDP carries no line events."""

    def hang_up(self) -> None:
        """Drop what waits and forget who spoke."""
        self._waiting.clear()
        self._unsent.clear()
        if self._senders.clear():
            self._listener.program_closed()

    async def close(self) -> None:
        """Listen no more."""
        self._stop_timer()
        if self._transport is not None:
            self._transport.close()
        self.hang_up()

    # What asyncio calls.

    def datagram_received(self, data: bytes, addr: tuple[object, ...]) -> None:
        """Take a line."""
        address = sender_of(addr)
        if len(data) > MOST_DATAGRAM_BYTES or not is_plain(data):
            self.dropped += 1
            return
        is_first = not len(self._senders)
        if (
            self._senders.heard(address, lambda: address) is None
            or len(self._waiting) >= MOST_WAITING
        ):
            self.dropped += 1
            self._send(b"dropped: too many lines or senders at once\n", address)
            return
        self._heard_at = time.monotonic()
        self._expire_later()
        if is_first:
            self._listener.program_opened()
        if not len(self._senders):  # it was hung up at once
            self._send(b"busy: another program is using the port\n", address)
            return
        self._waiting.append(data if data in _ALONE else data.rstrip(b"\r\n") + b"\n")
        self._pass_on()

    def error_received(self, exc: Exception) -> None:
        """Ignore that a sender is gone: it is forgotten in time."""
        del exc

    # What is left is this class's own.

    def _pass_on(self) -> None:
        if self._is_passing:  # a listener changes the limit: the loop below goes by it
            return
        self._is_passing = True
        try:
            while self._waiting and len(self._waiting[0]) <= self._most_bytes:
                self._listener.program_wrote(self._waiting.popleft())
        finally:
            self._is_passing = False

    def _send(self, data: bytes, address: Address) -> None:
        if not send_datagram(self._transport, data, address):
            self.dropped += 1

    def _expire(self) -> None:
        self._timer = None
        if self._senders.expire() and not len(self._senders):
            self._listener.program_closed()
        self._expire_later()

    def _expire_later(self) -> None:
        if self._timer is None and (wait_s := self._senders.wait_s()) is not None:
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._expire)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
