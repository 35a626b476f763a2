"""Makes the virtual port that is asked for by option and value."""

from __future__ import annotations

import sys
from collections.abc import Callable

from usbshare.bridge.local_ports import rfc2217, tcp
from usbshare.bridge.local_ports.loopback_address import loopback_address
from usbshare.bridge.local_ports.rfc2217 import Rfc2217Port
from usbshare.bridge.local_ports.tcp import TcpPort
from usbshare.bridge.local_ports.usb_address import UsbAddress
from usbshare.bridge.local_ports.usbip_listener import UsbipListenerPort
from usbshare.bridge.local_ports.virtual_port import VirtualPort

if sys.platform == "win32":
    from usbshare.bridge.local_ports.com0com import Com0comPort as SystemPort
    from usbshare.bridge.local_ports.usbip_listener import default_usb_port
elif sys.platform == "darwin":
    from usbshare.bridge.local_ports.macos_pty_hangup import MacosPty as SystemPort
    from usbshare.bridge.local_ports.usbip_listener import no_usb_port as default_usb_port
else:
    from usbshare.bridge.local_ports.linux_pty_hangup import LinuxPty as SystemPort
    from usbshare.bridge.local_ports.vhci_port import default_usb_port


def virtual_port_for(name: str) -> VirtualPort:
    """Return a port still to be started; `name` is COM10, or on Linux and macOS also a path."""
    return SystemPort(name)


def usb_port_for(text: str) -> VirtualPort:
    """Return a USB port still to be plugged in: `auto`, or where a USB/IP client connects."""
    address = UsbAddress.parse(text).listens_at
    return default_usb_port() if address is None else UsbipListenerPort(address)


PORT_MAKERS: dict[str, Callable[[str], VirtualPort]] = {
    "vcom": virtual_port_for,
    "usb_port": usb_port_for,
    "tcp": lambda text: TcpPort(loopback_address(text, tcp.DEFAULT_PORT)),
    "rfc2217": lambda text: Rfc2217Port(loopback_address(text, rfc2217.DEFAULT_PORT)),
}
