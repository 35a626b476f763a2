"""Makes the virtual port that is asked for by option and value."""

from __future__ import annotations

from collections.abc import Callable

from usbshare.bridge import rfc2217_port, tcp_port
from usbshare.bridge.loopback_address import loopback_address
from usbshare.bridge.rfc2217_port import Rfc2217Port
from usbshare.bridge.tcp_port import TcpPort
from usbshare.bridge.vcom.choose import virtual_port_for
from usbshare.bridge.virtual_port import VirtualPort

PORT_MAKERS: dict[str, Callable[[str], VirtualPort]] = {
    "vcom": virtual_port_for,
    "tcp": lambda text: TcpPort(loopback_address(text, tcp_port.DEFAULT_PORT)),
    "rfc2217": lambda text: Rfc2217Port(loopback_address(text, rfc2217_port.DEFAULT_PORT)),
}
