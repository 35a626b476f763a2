"""Hosts as reported by discovery, and a finder that knows what a test reports to it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from usbshare.hosts.catalogue import Catalogue
from usbshare.hosts.instance import (
    Endpoint,
    Entry,
    Instance,
    Kind,
    Observation,
    Source,
)

OWN_SITE, FOREIGN_SITE = "a" * 64, "f" * 64


def instance(
    name: str = "Laser-Workshop",
    *addresses: str,
    serial: int = 50051,
    site: str = OWN_SITE,
    host: str = "laser.local",
    port_ids: tuple[str, ...] = (),
    tls: bool = True,
) -> Instance:
    """Return a host; one without a serial service has discovery only."""
    kind, port = (Kind.SERIAL, serial) if serial else (Kind.DISCOVERY, 50053)
    return Instance(
        name=name,
        addresses=addresses or ("192.0.2.20",),
        endpoints=(Endpoint(kind, port),),
        host=host,
        port_ids=port_ids,
        tls=tls,
        site=site,
    )


def entry(told: Instance, *sources: Source, id_: str = "1") -> Entry:
    """Return the host as the catalogue has it."""
    return Entry(id_, told, frozenset(sources or {Source.MDNS}))


@dataclass
class FakeFinder:
    """Finds what the test says, for as long as it is entered."""

    catalogue: Catalogue = field(default_factory=lambda: Catalogue(time.monotonic))
    entered: int = 0
    left: int = 0
    leaving: int = 0
    may_leave: asyncio.Event | None = None

    async def __aenter__(self) -> Self:
        self.entered += 1
        return self

    async def __aexit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.leaving += 1
        if self.may_leave is not None:
            await self.may_leave.wait()
        self.left += 1

    def tell(self, told: Instance, source: Source = Source.MDNS, key: str = "") -> None:
        self.catalogue.observe(Observation(source, key or told.name, told))

    def forget(self, key: str, source: Source = Source.MDNS) -> None:
        self.catalogue.forget(source, key)
