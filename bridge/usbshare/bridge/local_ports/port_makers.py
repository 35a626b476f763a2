"""Makes the virtual port that is asked for by option and value."""

from __future__ import annotations

from collections.abc import Callable

from usbshare.bridge.local_ports import rfc2217, tcp
from usbshare.bridge.local_ports.choose import virtual_port_for
from usbshare.bridge.local_ports.loopback_address import loopback_address
from usbshare.bridge.local_ports.rfc2217 import Rfc2217Port
from usbshare.bridge.local_ports.tcp import TcpPort
from usbshare.bridge.local_ports.virtual_port import VirtualPort

PORT_MAKERS: dict[str, Callable[[str], VirtualPort]] = {
    "vcom": virtual_port_for,
    "tcp": lambda text: TcpPort(loopback_address(text, tcp.DEFAULT_PORT)),
    "rfc2217": lambda text: Rfc2217Port(loopback_address(text, rfc2217.DEFAULT_PORT)),
}
