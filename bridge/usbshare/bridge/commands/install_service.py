"""`usbshare-bridge install-service`: a bridge that starts with the computer."""

from __future__ import annotations

from usbshare.bridge.options import warn
from usbshare.common.autostart.command import USER, Shipped, install_service

install_service_command = install_service(
    Shipped("usbshare-bridge", "usbshare.bridge", USER, always=("--wait",), is_a_persons=True), warn
)
