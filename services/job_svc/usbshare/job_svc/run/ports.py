"""The ports of this host's serial service, as it tells of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable

from usbshare.base.errors import (
    DeviceError,
    InvalidArgumentError,
    NotFoundError,
    UsbshareError,
)
from usbshare.client.serial.messages import RemotePort

_log = logging.getLogger(__name__)
LOOK_EVERY_S = 2.0
SILENT_LOOKS = 3

ListPorts = Callable[[], Awaitable[list[RemotePort]]]


class Ports:
    """The ports known last; a serial service that is away for a while takes none of them away."""

    def __init__(self, list_ports: ListPorts, of_jobs: Callable[[], Iterable[str]]) -> None:
        self._list_ports = list_ports
        self._of_jobs = of_jobs
        self._ports: dict[str, RemotePort] = {}
        self._silent_looks = 0
        self._warned = ""
        self.trouble = "it was not asked yet"

    @property
    def persistent_trouble(self) -> str:
        """Why the serial service has not answered several times; empty where it has."""
        return self.trouble if self._silent_looks >= SILENT_LOOKS else ""

    @property
    def ids(self) -> list[str]:
        """The ports that there are, and those that jobs are of, sorted."""
        return sorted({*self._ports, *self._of_jobs()})

    def resolve(self, port_id: str, known: Callable[[Iterable[str]], list[str]]) -> str:
        """Return the id of a port; "" means the only `known` one.

        InvalidArgumentError, NotFoundError,
        or DeviceError while the ports of the host are unknown.
        """
        if port_id in self._ports:
            return port_id
        ids = known(self._ports)
        if not port_id and len(ids) == 1:
            return ids[0]
        if self.trouble and not ids:
            raise DeviceError(f"the ports of this host are unknown: {self.trouble}")
        names = ", ".join(ids) or "none"
        if not port_id and ids:
            raise InvalidArgumentError(
                f"the host has several ports; name one (port_id, --port): {names}"
            )
        what = f"no port {repr(port_id)[:66]} here" if port_id else "no port here"
        raise NotFoundError(f"{what}; available: {names}")

    def get(self, port_id: str) -> RemotePort | None:
        """Return a port as it was told last, None where there is none."""
        return self._ports.get(port_id)

    async def look(self) -> None:
        """Ask for the ports once."""
        try:
            found = await self._list_ports()
        except UsbshareError as error:
            self.trouble = str(error)
            self._warn()
            return
        if self._warned:
            _log.info("serial-svc reports its ports again")
        self.trouble = self._warned = ""
        self._silent_looks = 0
        self._ports = {each.id: each for each in found}

    async def look_again(self) -> None:
        """Ask now if there was no answer last time: the serial service may be back."""
        if self.trouble:
            await self.look()

    async def follow(self) -> None:
        """Ask again and again, until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_EVERY_S)

    def _warn(self) -> None:
        """Warn once for each reason; services that start together need a moment."""
        self._silent_looks += 1
        if self._silent_looks >= SILENT_LOOKS and self.trouble != self._warned:
            self._warned = self.trouble
            _log.warning("serial-svc does not report its ports: %s", self.trouble)
