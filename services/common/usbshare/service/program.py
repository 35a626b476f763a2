"""A service's name, address and settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeVar

from usbshare.audit.settings import AuditTable
from usbshare.base.config import Table
from usbshare.base.service_settings import ListenTable, TlsTable


class GuardedSettings(Protocol):
    """The settings of any service: beside its own tables it has these."""

    @property
    def tls(self) -> TlsTable:
        """`[tls]`."""

    @property
    def audit(self) -> AuditTable:
        """`[audit]`."""


SettingsT = TypeVar("SettingsT", bound=Table)


@dataclass(frozen=True, slots=True)
class Program:
    """One service, for its command line, its unit and the harness.

    `section`: its table in the configuration. `does`: what anyone may do over plaintext. `ends`:
    what ends with it.
    """

    name: str
    package: str
    section: str
    listen_variable: str
    port: int
    metrics_port: int
    does: str
    ends: str = "calls"

    @property
    def address(self) -> str:
        """Where it listens by default."""
        return f"[::]:{self.port}"

    def table(self, settings: object) -> ListenTable:
        """Return the table of the settings that says where it listens."""
        table: ListenTable = getattr(settings, self.section)
        return table

    def listening_at(self, listen: str | None, settings: SettingsT) -> SettingsT:
        """Return the settings with another address, if one is given."""
        if listen is None:
            return settings
        table = self.table(settings).model_copy(update={"listen": listen})
        return settings.model_copy(update={self.section: table})
