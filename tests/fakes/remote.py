"""A remote port as reported by a service."""

from __future__ import annotations

from usbshare.client.serial.messages import RemotePort
from usbshare.line.profiles import RAW
from usbshare.line.settings import LineSettings

REMOTE = RemotePort(
    id="laser",
    description="",
    source="fake",
    device="fake",
    vendor_id=None,
    product_id=None,
    serial_number="",
    state="open",
    reason="",
    profile=RAW,
    configured_profile="raw",
    settings=LineSettings(),
    holder="",
    observers=0,
    epoch=1,
    latched=False,
)
