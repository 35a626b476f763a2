"""The discovery service's configuration: what of the TOML file it reads."""

from __future__ import annotations

from pydantic import Field

from usbshare.common.audit.settings import AuditTable
from usbshare.common.config import Table
from usbshare.common.discovery.settings import DiscoveryTable, Hosts
from usbshare.common.service_settings import TlsTable


class Settings(Table):
    """The tables that it knows; the file may have others, for other services."""

    discovery: DiscoveryTable = Field(default_factory=DiscoveryTable)
    tls: TlsTable = Field(default_factory=TlsTable)
    audit: AuditTable = Field(default_factory=AuditTable)
    hosts: Hosts = Field(default_factory=dict)
