"""Two network namespaces joined by a wire whose packets take time; needs root and /dev/net/tun.

The kernel's own TCP is at both ends: its SYN, retransmissions and TCP_USER_TIMEOUT, which a proxy
does not have. Each end is a TUN device; a thread here carries the packets. As in a modem, what is
sent faster than the wire carries waits in one long queue, and is dropped where that is full.
"""

from __future__ import annotations

import ctypes
import fcntl
import heapq
import itertools
import os
import random
import select
import socket
import struct
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field

import pytest

from fakes.namespaces import IP, Namespace, NamespaceError, ip_command

HOST_ADDRESS, CLIENT_ADDRESS = "192.0.2.1", "192.0.2.2"  # of RFC 5737
# linux/if_tun.h and linux/sched.h.
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
_CLONE_NEWNET = 0x40000000
_MOST_PACKET = 2048
_INTERFACE = "slow"


@dataclass(slots=True)
class Direction:
    """One direction; change everything but `passed` and `dropped` at any moment.

    `swallows_s`: so long all data of a connection is lost, from its first on.
    """

    delay_s: float = 0.0
    jitter_s: float = 0.0
    bytes_per_s: float | None = None
    queue_bytes: int = 64 * 1024
    loss: float = 0.0
    is_cut: bool = False
    swallows_s: float = 0.0
    passed: int = 0
    dropped: int = 0
    _first_data_at: dict[bytes, float] = field(default_factory=dict, repr=False)
    _free_at: float = field(default=0.0, repr=False)
    _last_due: float = field(default=0.0, repr=False)

    @property
    def waits_s(self) -> float:
        """How long a packet that is sent now waits in the queue."""
        return max(0.0, self._free_at - time.monotonic())

    def due(self, packet: bytes, now: float, chance: random.Random) -> float | None:
        """Return when a packet arrives, None if it never does."""
        size = len(packet)
        if self.is_cut or self._swallows(packet, now) or chance.random() < self.loss:
            self.dropped += 1
            return None
        if self.bytes_per_s:
            waits_s = max(0.0, self._free_at - now)
            if waits_s * self.bytes_per_s > self.queue_bytes:
                self.dropped += 1
                return None
            self._free_at = max(self._free_at, now) + size / self.bytes_per_s
        left_at = self._free_at if self.bytes_per_s else now
        due = max(left_at, now) + self.delay_s + chance.random() * self.jitter_s
        self._last_due = max(self._last_due, due)  # a wire does not reorder
        self.passed += 1
        return self._last_due

    def _swallows(self, packet: bytes, now: float) -> bool:
        ports = _ports_of_data(packet) if self.swallows_s else None
        if ports is None:
            return False
        return now - self._first_data_at.setdefault(ports, now) < self.swallows_s


def _ports_of_data(packet: bytes) -> bytes | None:
    """Return the ports of a packet of IPv4 that carries data of TCP, None of all others."""
    if packet[0] >> 4 != 4 or packet[9] != socket.IPPROTO_TCP:
        return None
    tcp = packet[4 * (packet[0] & 0x0F) :]
    return tcp[:4] if len(tcp) > 4 * (tcp[12] >> 4) else None


class SlowWire:
    """The wire between `host` and `client`; `up` leads to the host."""

    def __init__(self, host: Namespace, client: Namespace) -> None:
        self.host, self.client = host, client
        self.up, self.down = Direction(), Direction()
        self._ends: list[int] = []
        self._chance = random.Random(1)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._carry, name="slow wire", daemon=True)

    def start(self) -> None:
        """Plug both ends in and begin to carry."""
        for each in (self.client, self.host):
            self._ends.append(_tun_in(each.name))
            ip_command("-n", each.name, "address", "add", f"{each.address}/30", "dev", _INTERFACE)
            for name in ("lo", _INTERFACE):
                ip_command("-n", each.name, "link", "set", name, "up")
        self._thread.start()

    def close(self) -> None:
        """Unplug it."""
        self._is_over.set()
        if self._thread.is_alive():
            self._thread.join(10.0)
        for each in self._ends:
            os.close(each)

    def _carry(self) -> None:
        client, host = self._ends
        ways = {client: (self.up, host), host: (self.down, client)}
        order, waiting = itertools.count(), list[tuple[float, int, int, bytes]]()
        while not self._is_over.is_set():
            wait_s = 0.05 if not waiting else min(0.05, max(0.0, waiting[0][0] - time.monotonic()))
            for source in select.select([client, host], [], [], wait_s)[0]:
                way, sink = ways[source]
                packet = os.read(source, _MOST_PACKET)
                due = way.due(packet, time.monotonic(), self._chance)
                if due is not None:
                    heapq.heappush(waiting, (due, next(order), sink, packet))
            while waiting and waiting[0][0] <= time.monotonic():
                _, _, sink, packet = heapq.heappop(waiting)
                with suppress(OSError):
                    os.write(sink, packet)


@contextmanager
def slow_wire() -> Iterator[SlowWire]:
    """Make two computers and the wire; the test is skipped, with the reason, where that fails."""
    if os.geteuid() != 0 or not IP or not os.path.exists("/dev/net/tun"):
        pytest.skip("a slow wire needs root, `ip` (Debian package iproute2) and /dev/net/tun")
    tag = uuid.uuid4().hex[:6]
    host = Namespace(f"usbs-sh-{tag}", _INTERFACE, HOST_ADDRESS, "")
    client = Namespace(f"usbs-sc-{tag}", _INTERFACE, CLIENT_ADDRESS, "")
    wire = SlowWire(host, client)
    with ExitStack() as exits:
        try:
            for each in (host, client):
                ip_command("netns", "add", each.name)
                exits.callback(ip_command, "netns", "del", each.name)
            exits.callback(wire.close)
            wire.start()
        except (NamespaceError, OSError) as error:
            pytest.skip(f"a slow wire cannot be made here: {error}")
        yield wire


def _tun_in(namespace: str) -> int:
    """Open a TUN device there and return its descriptor."""
    result: list[int | OSError] = []

    def enter_and_open() -> None:  # in a thread: the namespace is a thread's own
        try:
            result.append(_open_tun(namespace))
        except OSError as error:
            result.append(error)

    thread = threading.Thread(target=enter_and_open)
    thread.start()
    thread.join()
    if isinstance(result[0], OSError):
        raise result[0]
    return result[0]


def _open_tun(namespace: str) -> int:
    there = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(there, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
    finally:
        os.close(there)
    tun = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tun, _TUNSETIFF, struct.pack("16sH14x", b"slow", _IFF_TUN | _IFF_NO_PI))
    return tun
