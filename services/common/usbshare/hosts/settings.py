"""What the configuration says of finding hosts; read by discovery-svc and by the bridge."""

from __future__ import annotations

import ipaddress
import os
import socket
from typing import Annotated

from pydantic import AfterValidator, Field

from usbshare.base.addresses import dns_form, parse_address
from usbshare.base.config import Table
from usbshare.base.service_settings import Address, ListenTable
from usbshare.base.terminal_safe_text import clean_name
from usbshare.base.usual_ports import DISCOVERY_PORT, SERIAL_PORT
from usbshare.hosts.instance import Endpoint, Instance, Kind

INTERFACES_VARIABLE = "USBSHARE_DISCOVERY_INTERFACES"


def _friendly_name(text: str) -> str:
    if not text or clean_name(text) != text:
        raise ValueError("give 1 to 63 bytes of printable text without spaces at its ends")
    return text


def _multicast_group(text: str) -> str:
    address = parse_address(text)
    if not isinstance(address, ipaddress.IPv4Address) or not address.is_multicast:
        raise ValueError("not an IPv4 multicast address, 224.0.0.0 to 239.255.255.255")
    return text


def _host_address(text: str) -> str:
    if not (dns_form(text) or parse_address(text)):
        raise ValueError("neither a DNS name nor an IP address")
    return dns_form(text) or text


FriendlyName = Annotated[str, AfterValidator(_friendly_name)]
MulticastGroup = Annotated[str, AfterValidator(_multicast_group)]
HostAddress = Annotated[str, AfterValidator(_host_address)]
TcpPort = Annotated[int, Field(ge=1, le=65535)]


class DiscoveryTable(ListenTable):
    """`[discovery]`: how this host is announced and how it finds others."""

    listen: Address = f"[::]:{DISCOVERY_PORT}"
    name: FriendlyName | None = None
    interfaces: list[str] = Field(default_factory=list)
    mdns: bool = True
    beacon: bool = True
    beacon_group: MulticastGroup = "224.1.1.1"
    beacon_port: TcpPort = 5004
    beacon_ttl: int = Field(default=2, ge=0, le=255)
    beacon_interval_s: float = Field(default=2.0, ge=0.2, le=600)

    @property
    def friendly_name(self) -> str:
        """The configured name, else the computer's."""
        return self.name or clean_name(socket.gethostname().partition(".")[0]) or "usbshare"

    @property
    def chosen_interfaces(self) -> list[str]:
        """Names or addresses of the interfaces to use, from environment or file; empty: all."""
        named = os.environ.get(INTERFACES_VARIABLE, "")
        return [name.strip() for name in named.split(",") if name.strip()] or self.interfaces


class HostTable(Table):
    """`[hosts.<name>]`: a host known without multicast; port 0 means that it lacks that service."""

    address: HostAddress
    serial: int = Field(default=SERIAL_PORT, ge=0, le=65535)
    camera: int = Field(default=0, ge=0, le=65535)
    discovery: int = Field(default=0, ge=0, le=65535)
    job: int = Field(default=0, ge=0, le=65535)
    usb: int = Field(default=0, ge=0, le=65535)

    def instance(self, name: str) -> Instance:
        """Return the host as an instance."""
        ports = ((kind, getattr(self, kind.value)) for kind in Kind)
        endpoints = tuple(Endpoint(kind, port) for kind, port in ports if port)
        return Instance(name, (self.address,), endpoints)


Hosts = dict[FriendlyName, HostTable]
