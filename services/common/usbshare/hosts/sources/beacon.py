"""The UDP multicast beacon: a message every few seconds, for networks that let no mDNS through."""

from __future__ import annotations

import asyncio
import errno
import logging
import secrets
import socket
import time
from collections.abc import Iterable
from contextlib import suppress

from usbshare.base.threads import in_thread
from usbshare.base.watched_task import cancel_all
from usbshare.hosts.catalogue import Catalogue
from usbshare.hosts.counters import SourceCounters
from usbshare.hosts.instance import Instance
from usbshare.hosts.interfaces import Interface, interfaces_up
from usbshare.hosts.settings import DiscoveryTable
from usbshare.hosts.sources.beacon_limits import BeaconRoll, FloodGate
from usbshare.hosts.sources.beacon_message import BeaconError, decode, encode
from usbshare.hosts.sources.udp_reader import UdpReader

log = logging.getLogger(__name__)

LOOK_AT_INTERFACES_S = 5.0


class BeaconListener:
    """Puts beacons received on the chosen interfaces into the catalogue."""

    def __init__(
        self, catalogue: Catalogue, counters: SourceCounters, settings: DiscoveryTable
    ) -> None:
        self._counters = counters
        self._settings = settings
        self._gate = FloodGate(catalogue.clock)
        self._roll = BeaconRoll(catalogue)
        self._socket: socket.socket | None = None
        self._reader: UdpReader | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._joined: set[tuple[int, str]] = set()

    async def start(self) -> None:
        """Listen, from now on also on interfaces that come later; OSError if the port is taken."""
        self._socket = _listening_socket(self._settings.beacon_group, self._settings.beacon_port)
        self._reader = UdpReader(self._socket, self._take)
        await self._reader.start()
        await self._look()
        if not self._joined:
            log.warning(
                "no interface supports multicast: beacons cannot be received until one does"
            )
        self._tasks = [asyncio.create_task(self._follow(), name="beacon-listener")]

    async def close(self) -> None:
        """Stop listening; what was received expires."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        await cancel_all(*self._tasks)

    def _take(self, data: bytes, sender: str) -> bool:
        """Take in one message; what is wrong or too much is counted, nothing else."""
        self._counters.received(len(data))
        is_admitted = self._gate.admits(sender)
        if not (is_admitted and self._is_good(data, sender)):
            self._counters.error()
        return is_admitted

    def _is_good(self, data: bytes, sender: str) -> bool:
        try:
            return self._roll.take(decode(data, sender), sender)
        except BeaconError as error:
            log.debug("beacon from %s: %s", sender, error)
            return False

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(LOOK_AT_INTERFACES_S)
            await self._look()

    async def _look(self) -> None:
        interfaces = await _interfaces(self._settings)
        present = {(each.index, each.ipv4[0]) for each in interfaces}
        for gone in self._joined - present:
            self._leave(gone)
        for new in present - self._joined:
            self._join(new)

    def _join(self, interface: tuple[int, str]) -> None:
        try:
            self._set_membership(socket.IP_ADD_MEMBERSHIP, interface[1])
        except OSError as error:
            if error.errno != errno.EADDRINUSE:  # joined by another address of it
                log.debug("beacon: cannot listen on %s: %s", interface[1], error)
                return
        self._joined.add(interface)

    def _leave(self, interface: tuple[int, str]) -> None:
        self._joined.discard(interface)
        with suppress(OSError):  # an interface that is gone took its membership along
            self._set_membership(socket.IP_DROP_MEMBERSHIP, interface[1])

    def _set_membership(self, option: int, address: str) -> None:
        request = socket.inet_aton(self._settings.beacon_group) + socket.inet_aton(address)
        if self._socket is not None:
            self._socket.setsockopt(socket.IPPROTO_IP, option, request)


class BeaconPublisher:
    """Reports one instance on every chosen interface, each time with the address there."""

    def __init__(self, counters: SourceCounters, settings: DiscoveryTable) -> None:
        self._counters = counters
        self._settings = settings
        self._id = secrets.token_hex(4)
        self._instance: Instance | None = None
        self._addresses: tuple[str, ...] = ()
        self._socket: socket.socket | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Send from now on what is announced."""
        self._socket = _sending_socket(self._settings.beacon_ttl)
        await self._look()
        self._tasks = [
            asyncio.create_task(self._follow(), name="beacon-interfaces"),
            asyncio.create_task(self._repeat(), name="beacon-publisher"),
        ]

    def announce(self, instance: Instance) -> None:
        """Report it at once, and then at every interval, instead of what was reported before."""
        if self._instance is not None and self._instance.name != instance.name:
            self._send(gone=True)
        self._instance = instance
        self._send()

    async def close(self) -> None:
        """Withdraw the announcement and stop sending."""
        self._send(gone=True)
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        await cancel_all(*self._tasks)

    async def _repeat(self) -> None:
        while True:
            await asyncio.sleep(self._settings.beacon_interval_s)
            self._send()

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(LOOK_AT_INTERFACES_S)
            await self._look()

    async def _look(self) -> None:
        interfaces = await _interfaces(self._settings)
        before, self._addresses = self._addresses, _addresses(interfaces)
        if set(self._addresses) - set(before):
            self._send()

    def _send(self, *, gone: bool = False) -> None:
        instance = self._instance
        if instance is None:
            return
        for address in self._addresses:
            message = encode(instance, address, time.time(), sender_id=self._id, gone=gone)
            self._send_from(address, message)

    def _send_from(self, address: str, message: bytes) -> None:
        if self._socket is None:
            return
        where = (self._settings.beacon_group, self._settings.beacon_port)
        try:
            out = socket.inet_aton(address)
            self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, out)
            self._socket.sendto(message, where)
        except OSError as error:  # the interface went down, or its buffer is full: next time
            self._counters.error()
            log.debug("beacon: cannot send from %s: %s", address, error)
        else:
            self._counters.sent(len(message))


async def _interfaces(settings: DiscoveryTable) -> list[Interface]:
    try:
        found = await in_thread(interfaces_up, settings.chosen_interfaces)
    except OSError as error:
        log.debug("beacon: cannot look at the interfaces: %s", error)
        return []
    return [each for each in found if each.ipv4]


def _addresses(interfaces: Iterable[Interface]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(address for each in interfaces for address in each.ipv4))


def _listening_socket(group: str, port: int) -> socket.socket:
    """Return one that shares the port with other programs of this computer."""
    udp = _udp_socket()
    try:
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "SO_REUSEPORT"):
            udp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            udp.bind((group, port))  # hears this group alone
        except OSError:  # Windows binds to no group
            udp.bind(("", port))
    except OSError:
        udp.close()
        raise
    return udp


def _sending_socket(ttl: int) -> socket.socket:
    udp = _udp_socket()
    udp.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, ttl)
    udp.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
    return udp


def _udp_socket() -> socket.socket:
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.setblocking(False)
    return udp
