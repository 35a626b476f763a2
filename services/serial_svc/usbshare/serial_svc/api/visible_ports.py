"""Which ports a caller knows of: what one may not view does not exist, in texts and counts too."""

from __future__ import annotations

from functools import partial

from usbshare.authorization.gate import Gate
from usbshare.authorization.rights import Resource, ResourceKind, Right
from usbshare.rpc.identity import Identity
from usbshare.serial_svc.ports.port import SerialPort
from usbshare.serial_svc.ports.registry import Registry


class KnownPorts:
    """The registry as each caller sees it."""

    def __init__(self, registry: Registry, gate: Gate) -> None:
        self._registry = registry
        self._gate = gate

    def get(self, port_id: str, caller: Identity) -> SerialPort:
        """Return the port with that id; errors name no port that the caller may not view."""
        known = partial(self._gate.known_to, caller, ResourceKind.PORT)
        return self._registry.get(port_id, known)

    def to_view(self, port_id: str, caller: Identity) -> SerialPort:
        """Return the same, after a check that the caller may view a port of that id."""
        if port_id:
            self._gate.require(caller, Right.VIEW, Resource(ResourceKind.PORT, port_id))
        return self.get(port_id, caller)

    def visible(self, caller: Identity) -> list[SerialPort]:
        """Return the ports that the caller may view."""
        ports = {port.id: port for port in self._registry.ports}
        return [ports[each] for each in self._gate.visible(caller, ResourceKind.PORT, ports)]
