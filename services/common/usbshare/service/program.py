"""What a service is called, where it listens and where its settings are."""

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
    """One service, as its command line, its unit and the harness name it.

    `section`: the table of the configuration that says where it listens. `does`: what anybody may
    do over plaintext. `ends`: what its end ends.
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
