"""Which virtual port this system has."""

from __future__ import annotations

import sys

from usbshare.bridge.local_ports.virtual_port import VirtualPort

if sys.platform == "win32":
    from usbshare.bridge.local_ports.com0com import Com0comPort as SystemPort
elif sys.platform == "darwin":
    from usbshare.bridge.local_ports.macos_pty import MacosPty as SystemPort
else:
    from usbshare.bridge.local_ports.linux_pty import LinuxPty as SystemPort


def virtual_port_for(name: str) -> VirtualPort:
    """Return a port still to be started; `name` is COM10, or on Linux and macOS also a path."""
    return SystemPort(name)
