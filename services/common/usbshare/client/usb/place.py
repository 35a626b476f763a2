"""Where the USB service of a host listens: as its discovery service announces, else as usual."""

from __future__ import annotations

from usbshare.base.usual_ports import DISCOVERY_PORT
from usbshare.client.announced_place import announced_place
from usbshare.hosts.instance import Kind
from usbshare.rpc.channel import Target
from usbshare.rpc.tls import ClientBundle


async def usb_place(
    host: Target, bundle: ClientBundle | None, discovery_port: int = DISCOVERY_PORT
) -> Target:
    """Return where the USB service of a host is, of which any service is known; within 1 s."""
    return await announced_place(Kind.USB, host, bundle, discovery_port)
