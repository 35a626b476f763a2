"""The ways in which this host is announced: to its own clients, by beacon, by multicast DNS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from usbshare.hosts.catalogue import Catalogue
from usbshare.hosts.instance import Instance, Observation, Source


class Way(Protocol):
    """One of them; an instance that offers nothing is for this host's own clients only."""

    async def tell(self, instance: Instance) -> None:
        """Announce this from now on."""
        ...

    async def withdraw(self) -> None:
        """Withdraw what was announced."""
        ...


class Beacon(Protocol):
    """What repeats an instance for as long as it is started."""

    async def start(self) -> None:
        """Send from now on."""
        ...

    def announce(self, instance: Instance) -> None:
        """Send this from now on."""
        ...

    async def close(self) -> None:
        """Take it back and be silent."""
        ...


class Mdns(Protocol):
    """What announces an instance under its name, or another where that is taken."""

    @property
    def name(self) -> str:
        """The name in use, empty if none is; another computer may claim it at any time."""
        ...

    async def announce(self, instance: Instance) -> str:
        """Announce it, or what is new of it; return the name in use."""
        ...

    async def withdraw(self) -> None:
        """Take it back."""
        ...


class LocalWay:
    """Puts this host into its own catalogue."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    async def tell(self, instance: Instance) -> None:
        """Put it there."""
        self._catalogue.observe(Observation(Source.LOCAL, "local", instance))

    async def withdraw(self) -> None:
        """Leave it there: the catalogue ends with this program."""


class BeaconWay:
    """Sends it by beacon."""

    def __init__(self, beacon: Beacon) -> None:
        self._beacon = beacon
        self._is_sending = False

    async def tell(self, instance: Instance) -> None:
        """Send it at once, and again and again."""
        if not instance.endpoints:
            await self.withdraw()
            return
        if not self._is_sending:
            self._is_sending = True
            await self._beacon.start()
        self._beacon.announce(instance)

    async def withdraw(self) -> None:
        """Withdraw the announcement."""
        if self._is_sending:
            self._is_sending = False
            await self._beacon.close()


class MdnsWay:
    """Announces it by multicast DNS, which decides on the name and reports it to `named`."""

    def __init__(self, mdns: Mdns, name: str, named: Callable[[str], object]) -> None:
        self._mdns = mdns
        self._name = name
        self._named = named
        self._is_announced = False

    async def tell(self, instance: Instance) -> None:
        """Announce it under the configured name, or what has become of that."""
        if not instance.endpoints:
            await self.withdraw()
            return
        self._is_announced = True
        self._named(await self._mdns.announce(replace(instance, name=self._name)))

    async def withdraw(self) -> None:
        """Withdraw the announcement."""
        if self._is_announced:
            self._is_announced = False
            await self._mdns.withdraw()
