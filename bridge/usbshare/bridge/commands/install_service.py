"""`usbshare-bridge install-service`: a bridge that starts with the computer."""

from __future__ import annotations

from usbshare.bridge.commands.notices import warn
from usbshare.service.commands.install_service import USER, Shipped, install_service

install_service_command = install_service(
    Shipped("usbshare-bridge", "usbshare.bridge", USER, always=("--wait",), is_a_persons=True), warn
)
