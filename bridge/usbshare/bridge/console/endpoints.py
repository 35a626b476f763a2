"""Local ports that the console offers to other programs: `endpoint add`, `list`, `remove`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from usbshare.base.errors import InvalidArgumentError, NotFoundError
from usbshare.bridge.console.host import Host
from usbshare.bridge.console.lines import Kind, Line
from usbshare.bridge.console.table import Asker
from usbshare.bridge.local_ports import rfc2217, tcp, udp
from usbshare.bridge.local_ports.loopback_address import loopback_address
from usbshare.bridge.local_ports.rfc2217 import Rfc2217Port
from usbshare.bridge.local_ports.tcp import TcpPort
from usbshare.bridge.local_ports.udp import UdpPort
from usbshare.bridge.local_ports.virtual_port import VirtualPort

MOST_ENDPOINTS = 8

_MAKERS: dict[str, Callable[[str], VirtualPort]] = {
    "tcp": lambda text: TcpPort(loopback_address(text, tcp.DEFAULT_PORT)),
    "udp": lambda text: UdpPort(loopback_address(text, udp.DEFAULT_PORT)),
    "rfc2217": lambda text: Rfc2217Port(loopback_address(text, rfc2217.DEFAULT_PORT)),
}
KINDS = tuple(_MAKERS)


class Endpoints:
    """What `endpoint` does; each endpoint holds its remote port until it is removed."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def paths(self) -> list[str]:
        """Return what programs can open."""
        return [path for machine in self._host.machines() for path in machine.paths()]

    async def add(self, asker: Asker, arguments: Sequence[str]) -> Sequence[Line]:
        """Offer the asker's port at another local port.

        InvalidArgumentError if the kind is unknown.
        """
        kind, address = arguments[0].casefold(), arguments[1]
        if kind not in _MAKERS:
            raise InvalidArgumentError(
                f"{kind!r} is not a kind of endpoint: give one of {', '.join(KINDS)}"
            )
        if len(self.paths()) >= MOST_ENDPOINTS:
            raise InvalidArgumentError(
                f"there are already {MOST_ENDPOINTS} endpoints: remove one first"
            )
        port_id = asker.port_id
        path = await self._host.machine(port_id).add(_MAKERS[kind](address))
        return [Line(f"port '{port_id}' is offered at {path}", Kind.OK)]

    async def list(self, asker: Asker, arguments: Sequence[str]) -> Sequence[Line]:
        """Show the endpoints."""
        del asker, arguments
        rows = [
            f"{path}  port '{machine.port_id}'{_in_use(machine.served_path, path)}"
            for machine in self._host.machines()
            for path in machine.paths()
        ]
        return [Line(row) for row in rows or ["no endpoints: `endpoint add tcp 127.0.0.1:8023`"]]

    async def remove(self, asker: Asker, arguments: Sequence[str]) -> Sequence[Line]:
        """Close the endpoint of that URL or address; NotFoundError names those there are."""
        del asker
        named = [path for path in self.paths() if arguments[0] in (path, path.partition("//")[2])]
        if not named:
            there = ", ".join(self.paths()) or "none"
            raise NotFoundError(f"there is no endpoint {arguments[0]!r}; available: {there}")
        for machine in self._host.machines():
            await machine.remove(named[0])
        return [Line(f"removed {named[0]}", Kind.OK)]


def _in_use(served: str, path: str) -> str:
    return ", a program is connected" if served == path else ""
