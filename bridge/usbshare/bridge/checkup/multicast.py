"""Check of multicast: whether packets of other computers get here, after asking for some."""

from __future__ import annotations

import asyncio
import secrets
import socket
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, suppress

from usbshare.base.checkup import Judgement, fine, warning
from usbshare.base.threads import in_thread
from usbshare.bridge.checkup.context import Subject
from usbshare.bridge.hosts.name_lookup import open_finder
from usbshare.hosts.interfaces import Interface, interfaces_up
from usbshare.hosts.settings import DiscoveryTable
from usbshare.hosts.sources.udp_reader import UdpReader

LISTEN_S = 2.0
_ENOUGH_S = 1.0
_POLL_S = 0.05
_MOST_PACKETS = 1000  # more at once is a flood, whose rest may go unheard
_MOST_SENDERS = 64  # of which the first few are shown
_SHOWN_SENDERS = 4
_MDNS = ("224.0.0.251", 5353)
# RFC 6763, 9: the answer lists the service types, whatever they are.
_QUESTION = b"\x09_services\x07_dns-sd\x04_udp\x05local\x00" + struct.pack("!HH", 12, 1)
_REMEDY = (
    "give the host's address, or write it into [hosts]: then multicast is not needed; "
    "otherwise check whether this computer's firewall allows UDP {ports}, and whether the "
    "Wi-Fi (client isolation) or a switch (IGMP snooping) filters it"
)


class Ear:
    """Hears packets on the multicast groups, and counts them by sender; its own not."""

    def __init__(self, settings: DiscoveryTable, interfaces: Sequence[Interface]) -> None:
        self.heard: Counter[str] = Counter()
        self.problem = ""
        self._settings = settings
        self._addresses = [each.ipv4[0] for each in interfaces if each.ipv4]
        # Others may ask the same at this moment: the number identifies our question.
        number = secrets.randbelow(0xFFFF) + 1
        self._query = struct.pack("!6H", number, 0, 1, 0, 0, 0) + _QUESTION

    async def listen(self, ignored: Sequence[str]) -> None:
        """Ask once, then hear for 2 s, or for 1 s if somebody who is not ignored was heard."""
        async with AsyncExitStack() as exits:
            for group, port in self._groups():
                await self._join(exits, group, port)
            loop = asyncio.get_running_loop()
            start = loop.time()
            while loop.time() < start + LISTEN_S:
                if loop.time() > start + _ENOUGH_S and self.heard.keys() - set(ignored):
                    break
                await asyncio.sleep(_POLL_S)

    def _groups(self) -> Iterator[tuple[str, int]]:
        if self._settings.mdns:
            yield _MDNS
        if self._settings.beacon:
            yield self._settings.beacon_group, self._settings.beacon_port

    async def _join(self, exits: AsyncExitStack, group: str, port: int) -> None:
        try:
            udp = _socket_in(group, port, self._addresses)
        except OSError as error:
            self.problem = f"UDP {port}: {error.strerror or error}"
            return
        reader = UdpReader(udp, self._take)
        exits.callback(reader.close)
        await reader.start()
        if (group, port) == _MDNS:
            self._ask(udp)

    def _ask(self, udp: socket.socket) -> None:
        for address in self._addresses:
            with suppress(OSError):  # that interface went down
                out = socket.inet_aton(address)
                udp.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, out)
                udp.sendto(self._query, _MDNS)

    def _take(self, data: bytes, sender: str) -> bool:
        is_new = sender not in self.heard
        if data != self._query and not (is_new and len(self.heard) >= _MOST_SENDERS):
            self.heard[sender] += 1
        return self.heard.total() < _MOST_PACKETS


async def judge_multicast(subject: Subject) -> Judgement:
    """Listen for other computers; meanwhile find hosts, for the checks to come."""
    settings = subject.settings.discovery
    if not (settings.mdns or settings.beacon):
        return fine("off by configuration")
    interfaces = await in_thread(interfaces_up, settings.chosen_interfaces)
    own = _own_addresses(interfaces)
    ear = Ear(settings, interfaces)
    async with open_finder(subject.settings, subject.bundle) as finder:
        await ear.listen(own)
        subject.found = finder.catalogue.entries()
    return judge_heard(ear.heard, own, settings, ear.problem)


def judge_heard(
    heard: Counter[str], own: Sequence[str], settings: DiscoveryTable, problem: str = ""
) -> Judgement:
    """Say what packets that were heard mean; `own` are the senders that prove nothing."""
    others = [sender for sender in heard if sender not in own]
    if others:
        shown = ", ".join(others[:_SHOWN_SENDERS])
        more = f" and {len(others) - _SHOWN_SENDERS} more" if len(others) > _SHOWN_SENDERS else ""
        packets = sum(heard[sender] for sender in others)
        return fine(f"{packets} packets within {LISTEN_S:g} s, from {shown}{more}")
    remedy = _REMEDY.format(ports=f"5353 and {settings.beacon_port}")
    if problem:
        return warning(f"cannot listen here ({problem})", remedy)
    what = "only this computer's own packets" if heard else "nothing"
    return warning(f"{what} heard within {LISTEN_S:g} s", remedy)


def _own_addresses(interfaces: Sequence[Interface]) -> list[str]:
    """Return this computer's addresses; none where loopback alone is looked at."""
    if interfaces and all(each.is_loopback for each in interfaces):
        return []
    return [address for each in interfaces_up() for address in each.ipv4] + ["127.0.0.1"]


def _socket_in(group: str, port: int, addresses: Sequence[str]) -> socket.socket:
    """Return a socket that hears the group on these interfaces, beside other programs."""
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "SO_REUSEPORT"):
            udp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        udp.bind(("", port))
        udp.setblocking(False)
        for address in addresses:
            member = socket.inet_aton(group) + socket.inet_aton(address)
            with suppress(OSError):  # two addresses of one interface, or one that went down
                udp.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
    except OSError:
        udp.close()
        raise
    return udp
