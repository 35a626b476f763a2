"""The USB service's configuration: its part of the TOML file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field

from usbshare.audit.settings import AuditTable
from usbshare.base.config import Table, checked
from usbshare.base.service_settings import Address, ListenTable, TlsTable
from usbshare.base.usual_ports import USB_PORT
from usbshare.hosts.settings import DiscoveryTable
from usbshare.line.usb.device import parse_selector
from usbshare.service.program import Program

PROGRAM = Program(
    name="usb-svc",
    package="usbshare.usb_svc",
    section="usb",
    listen_variable="USBSHARE_USB_LISTEN",
    port=USB_PORT,
    metrics_port=9468,
    does="attach the USB devices",
    ends="attachments",
)

Selector = Annotated[str, checked(parse_selector)]


@dataclass(frozen=True, slots=True)
class Places:
    """Where the kernel shows devices and processes."""

    sys: Path = Path("/sys")
    proc: Path = Path("/proc")

    @classmethod
    def of_system(cls) -> Self:
        """Return this computer's folders; USBSHARE_USB_ROOT sets another root, for tests."""
        root = os.environ.get("USBSHARE_USB_ROOT")
        return cls(Path(root) / "sys", Path(root) / "proc") if root else cls()


class ServiceTable(ListenTable):
    """`[usb]`: where the service listens, and what it lends.

    `devices`: the only ones that are lent, such as "0403:6001"; absent: all but input devices,
    network adapters, disks and what cannot be seen. `link_timeout_s`: how long a client
    may be silent.
    """

    listen: Address = PROGRAM.address
    devices: list[Selector] | None = None
    link_timeout_s: float = Field(default=2.0, ge=0.5, le=60)


class Settings(Table):
    """The tables that usb-svc reads; the file may have others, for other services."""

    usb: ServiceTable = Field(default_factory=ServiceTable)
    tls: TlsTable = Field(default_factory=TlsTable)
    audit: AuditTable = Field(default_factory=AuditTable)
    discovery: DiscoveryTable = Field(default_factory=DiscoveryTable)
