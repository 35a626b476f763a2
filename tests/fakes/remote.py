"""A remote port as a service tells of it."""

from __future__ import annotations

from usbshare.bridge.messages import RemotePort
from usbshare.common.line import LineSettings
from usbshare.common.profiles import RAW

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
