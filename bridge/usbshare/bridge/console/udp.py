"""The console over UDP: a datagram is a line; each sender of the last 60 s has its own answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from usbshare.base.rate_limits import Bucket, Rate
from usbshare.bridge.console.conversation import MOST_WAITING, Conversation
from usbshare.bridge.console.lines import Line
from usbshare.bridge.console.tcp import Begin
from usbshare.bridge.local_ports.loopback_address import LoopbackAddress
from usbshare.bridge.local_ports.udp import (
    is_plain,
    listening_datagrams,
    send_datagram,
)
from usbshare.bridge.local_ports.udp_senders import (
    MOST_DATAGRAM_BYTES,
    Address,
    Senders,
    packed,
    sender_of,
)

DEFAULT_PORT = 2324
# Two of these that answer each other must not continue indefinitely as fast as they can.
RATE = Rate(per_s=50.0, burst=200.0)
_STOPS = (b"stop", b"hold", b"door", b"!", b"\x18")


class ConsoleDatagrams(asyncio.DatagramProtocol):
    """Listens; `begin` makes a conversation for each sender. `dropped` counts datagrams."""

    def __init__(
        self,
        address: LoopbackAddress,
        begin: Begin,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.dropped = 0
        self.clock = clock
        self._address = address
        self._begin = begin
        self._senders: Senders[_Talk] = Senders(clock)
        self._closing: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.DatagramTransport | None = None

    @property
    def path(self) -> str:
        """Where it listens; the real port once started."""
        return f"udp://{self._address}"

    async def start(self) -> None:
        """Listen; raises ConfigError when the address cannot be had."""
        self._transport = await listening_datagrams(self._address, self, self.path)
        port = int(self._transport.get_extra_info("sockname")[1])
        self._address = LoopbackAddress(self._address.host, port)

    async def close(self) -> None:
        """Listen no more."""
        if self._timer is not None:
            self._timer.cancel()
        for talk in self._senders.clear():
            self._end(talk)
        await asyncio.gather(*self._closing)
        if self._transport is not None:
            self._transport.close()

    def send(self, data: bytes, address: Address) -> None:
        """Send a datagram, as far as the system takes it."""
        if not send_datagram(self._transport, data, address):
            self.dropped += 1

    # What asyncio calls.

    def datagram_received(self, data: bytes, addr: tuple[object, ...]) -> None:
        """Take a line."""
        address = sender_of(addr)
        if len(data) > MOST_DATAGRAM_BYTES or not is_plain(data):
            self.dropped += 1
            return
        stops = data.strip().lower() in _STOPS
        talk = self._heard(address, stops=stops)
        if talk is None:
            self.dropped += 1
            self.send(b"busy: too many senders\n", address)
        elif talk.may_speak() or stops:
            talk.take(data)
        else:
            self.dropped += 1

    def error_received(self, exc: Exception) -> None:
        """Ignore that a sender is gone: it is forgotten in time."""
        del exc

    # What is left is this class's own.

    def _heard(self, address: Address, *, stops: bool) -> _Talk | None:
        """Return the sender's talk; one that stops the machine takes the place of another."""
        talk = self._senders.heard(address, lambda: _Talk(self, address, self._begin))
        if talk is None and stops:
            self._end(self._senders.evict())
            talk = self._senders.heard(address, lambda: _Talk(self, address, self._begin))
        self._expire_later()
        return talk

    def _end(self, talk: _Talk) -> None:
        closing = asyncio.create_task(talk.close(), name="console udp close")
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    def _expire(self) -> None:
        self._timer = None
        for talk in self._senders.expire():
            self._end(talk)
        self._expire_later()

    def _expire_later(self) -> None:
        if self._timer is None and (wait_s := self._senders.wait_s()) is not None:
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._expire)


class _Talk:
    """One sender. What is told in one step of the loop goes out together."""

    is_person = False
    most_waiting = MOST_WAITING

    def __init__(self, server: ConsoleDatagrams, address: Address, begin: Begin) -> None:
        self.name = f"udp {address[0]}:{address[1]}"
        self._server = server
        self._address = address
        self._unsent: list[bytes] = []
        self._bucket = Bucket(RATE.burst_s, server.clock())
        self._conversation: Conversation = begin(self)

    def may_speak(self) -> bool:
        """Return whether the sender keeps to the rate."""
        return self._bucket.take_if_left(1, RATE.per_s, self._server.clock())

    def take(self, data: bytes) -> None:
        """Take a line."""
        self._conversation.take(data.decode("latin-1"))

    async def close(self) -> None:
        """End the conversation."""
        await self._conversation.close()

    # What the conversation calls.

    def tell(self, line: Line) -> None:
        """Send a line, with those that follow at once."""
        if not self._unsent:
            asyncio.get_running_loop().call_soon(self._send)
        self._unsent.append(f"{line.text}\n".encode())

    def hear(self, line: Line) -> None:
        """Send a line that nobody asked for, as any other."""
        self.tell(line)

    def prompt(self) -> None:
        """Do nothing: a datagram is an answer by itself."""

    async def room(self) -> None:
        """Do nothing: UDP does not wait."""

    def leave(self) -> None:
        """Do nothing: a sender that says no more is forgotten."""

    def _send(self) -> None:
        lines, self._unsent = self._unsent, []
        for datagram in packed(lines):
            self._server.send(datagram, self._address)
