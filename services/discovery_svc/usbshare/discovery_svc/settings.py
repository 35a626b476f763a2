"""The discovery service's configuration: what of the TOML file it reads."""

from __future__ import annotations

from pydantic import Field

from usbshare.audit.settings import AuditTable
from usbshare.base.config import Table
from usbshare.base.service_settings import TlsTable
from usbshare.base.usual_ports import DISCOVERY_PORT
from usbshare.hosts.settings import DiscoveryTable, Hosts
from usbshare.service.program import Program

PROGRAM = Program(
    name="discovery-svc",
    package="usbshare.discovery_svc",
    section="discovery",
    listen_variable="USBSHARE_DISCOVERY_LISTEN",
    port=DISCOVERY_PORT,
    metrics_port=9466,
    does="announce services",
    ends="watches",
)


class Settings(Table):
    """The tables that discovery-svc reads; the file may have others, for other services."""

    discovery: DiscoveryTable = Field(default_factory=DiscoveryTable)
    tls: TlsTable = Field(default_factory=TlsTable)
    audit: AuditTable = Field(default_factory=AuditTable)
    hosts: Hosts = Field(default_factory=dict)
