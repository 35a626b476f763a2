"""mDNS and DNS-SD: announces this host and finds the others, on every interface there is."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import socket
import time
from collections.abc import Sequence
from contextlib import ExitStack

from zeroconf.asyncio import AsyncZeroconf

from usbshare.base.threads import in_thread
from usbshare.base.waits import set_within
from usbshare.base.watched_task import cancel_all, in_background
from usbshare.hosts.catalogue import Catalogue
from usbshare.hosts.counters import SourceCounters
from usbshare.hosts.instance import Instance
from usbshare.hosts.interfaces import Interface, interfaces_up
from usbshare.hosts.mdns.announcer import Announcer
from usbshare.hosts.mdns.browser import Browser
from usbshare.hosts.mdns.log_limits import quieted
from usbshare.hosts.mdns.wire import Admission, Responder
from usbshare.hosts.settings import DiscoveryTable

_LOOK_S = 2.0
_SETTLE_S, _GOODBYE_S, _CLOSE_S = 0.3, 0.4, 0.3
_MOST_HOST_CHARACTERS = 40

_log = logging.getLogger(__name__)


class MdnsNode:
    """One computer's part in mDNS; what it finds goes into the catalogue."""

    def __init__(
        self, catalogue: Catalogue, counters: SourceCounters, settings: DiscoveryTable
    ) -> None:
        self._catalogue, self._counters = catalogue, counters
        self._chosen = settings.chosen_interfaces
        self._interfaces: list[Interface] = []
        self._responder: Responder | None = None
        self._announcer: Announcer | None = None
        self._browser: Browser | None = None
        self._closing = asyncio.Event()
        self._following: asyncio.Task[None] | None = None
        self._exits = ExitStack()

    @property
    def name(self) -> str:
        """Under which this host is announced, empty while it is not."""
        return self._announcer.name if self._announcer else ""

    async def start(self) -> None:
        """Listen and ask; raises OSError where this computer does not allow it."""
        self._exits.enter_context(quieted())
        self._interfaces = await in_thread(interfaces_up, self._chosen)
        admission = Admission(time.monotonic)
        responder = Responder(_senders(self._interfaces), self._counters, admission)
        self._responder = responder
        await responder.async_wait_for_start()
        responder.watch_sockets()
        self._announcer = Announcer(responder, _host_name())
        self._announcer.set_addresses(_addresses(self._interfaces))
        self._announcer.start()
        self._browser = Browser(responder, self._catalogue, self._counters)
        self._browser.start()
        self._following = in_background(
            self._follow(responder, self._announcer, self._browser), "mDNS interfaces"
        )

    async def announce(self, instance: Instance) -> str:
        """Announce this host, or its changes; returns the name, `Name (2)` if it was taken.

        A new name is claimed first, which takes 0.8 s. Its addresses are this computer's own.
        """
        if self._announcer is None:
            raise RuntimeError("not started")
        return await self._announcer.announce(instance)

    async def withdraw(self) -> None:
        """Send goodbyes (RFC 6762, 10.1) and continue to find others."""
        if self._announcer is not None:
            await self._announcer.withdraw()

    async def close(self) -> None:
        """Send goodbyes and end, within a second; what was found stays in the catalogue."""
        self._closing.set()
        following, self._following = self._following, None
        with self._exits:
            if following is not None:
                # Not in the middle of a change of sockets, if that can be waited for.
                await asyncio.wait({following}, timeout=_SETTLE_S)
                await cancel_all(following)
            try:
                await self._say_goodbye()
            finally:
                await self._shut()

    async def _say_goodbye(self) -> None:
        announcer, self._announcer = self._announcer, None
        browser, self._browser = self._browser, None
        try:
            async with asyncio.timeout(_GOODBYE_S):
                if announcer is not None:
                    await announcer.close()
                if browser is not None:
                    await browser.close()
        except TimeoutError:
            _log.debug("mDNS: no time for a goodbye")

    async def _shut(self) -> None:
        responder, self._responder = self._responder, None
        if responder is None:
            return
        try:
            async with asyncio.timeout(_CLOSE_S):
                await AsyncZeroconf(zc=responder).async_close()
        except TimeoutError:
            _log.debug("mDNS: its sockets took too long to close")

    async def _follow(self, responder: Responder, announcer: Announcer, browser: Browser) -> None:
        while not await set_within(self._closing, _LOOK_S):
            try:
                found = await in_thread(interfaces_up, self._chosen)
                if found == self._interfaces:
                    continue
                names = ", ".join(each.name for each in found) or "no interface"
                _log.info("mDNS: now on %s", names)
                await responder.async_update_interfaces(_senders(found))
            except OSError as error:  # in the middle of a change; it is looked at again
                _log.debug("mDNS: interfaces: %s", error)
                continue
            responder.watch_sockets()
            self._interfaces = found
            announcer.set_addresses(_addresses(found))
            announcer.announce_again()
            browser.ask_again()


def _senders(interfaces: Sequence[Interface]) -> list[str | int]:
    """Return one socket's choice for each interface and IP version: more would send all twice."""
    ipv4 = [each.ipv4[0] for each in interfaces if each.ipv4]
    return [*ipv4, *(each.index for each in interfaces if each.ipv6)]


def _addresses(interfaces: Sequence[Interface]) -> tuple[str, ...]:
    ipv4 = [address for each in interfaces for address in each.ipv4]
    return (*ipv4, *(address for each in interfaces for address in each.ipv6))


def _host_name() -> str:
    """Return a DNS label of which no other program or computer thinks that it is its own.

    Two computers may well be called alike, and this one's own name belongs to its mDNS responder,
    if it has one, which would see ours as a conflict.
    """
    own = re.sub(r"[^a-z0-9]+", "-", socket.gethostname().partition(".")[0].lower()).strip("-")
    return f"{own[:_MOST_HOST_CHARACTERS] or 'usb-share'}-{secrets.token_hex(3)}"
