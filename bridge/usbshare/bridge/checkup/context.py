"""What is examined, and what the checks so far have learned of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from usbshare.base.checkup import Judgement
from usbshare.base.errors import ConnectionRefusedByPeerError
from usbshare.bridge.commands.options import Wanted
from usbshare.bridge.settings import Settings
from usbshare.client.serial.client import SerialClient
from usbshare.client.serial.messages import RemotePort
from usbshare.rpc.channel import Target
from usbshare.rpc.tls import ClientBundle

if TYPE_CHECKING:
    from usbshare.handshakes.probe import Probe
    from usbshare.hosts.instance import Entry


@dataclass(slots=True)
class Subject:
    """One bridge that does not exist yet: who, where to, with which port; filled in on the way.

    `virtual_port` is a kind and its value, as `("vcom", "COM10")`; None where none is named.
    """

    wishes: Wanted
    settings: Settings
    configuration: Judgement
    port_id: str = ""
    virtual_port: tuple[str, str] | None = None
    own_client_name: str = ""
    bundle: ClientBundle | None = None
    target: Target | None = None
    found: Sequence[Entry] = ()
    probe: Probe | None = None
    client: SerialClient | None = None
    ports: list[RemotePort] = field(default_factory=list)
    round_trip_s: float = 0.0

    @property
    def where(self) -> Target:
        """The target; only after the name was resolved, ConnectionRefusedByPeerError otherwise."""
        if self.target is None:
            raise ConnectionRefusedByPeerError("the target is unknown")
        return self.target

    @property
    def service(self) -> SerialClient:
        """A connection to the service, made at its first use."""
        if self.client is None:
            self.client = SerialClient(self.where, self.bundle)
        return self.client

    @property
    def port(self) -> RemotePort | None:
        """The port that would be used; None where it is not there, or one of several."""
        chosen = [port for port in self.ports if self.port_id in ("", port.id)]
        return chosen[0] if len(chosen) == 1 else None

    @property
    def is_bridged_from_here(self) -> bool:
        """Whether a bridge of this user on this computer holds the port."""
        holder = self.port.holder if self.port else ""
        return bool(self.own_client_name) and f"({self.own_client_name})" in holder

    async def close(self) -> None:
        """Close the connection."""
        if self.client is not None:
            await self.client.close()
