"""Remote ports for programs that use pyserial: `register()`, then `usbshare://laser/port`."""

from __future__ import annotations

import serial


def register() -> None:
    """Let `serial.serial_for_url` know `usbshare://` in this process; once is enough."""
    if __name__ not in serial.protocol_handler_packages:
        serial.protocol_handler_packages.append(__name__)
