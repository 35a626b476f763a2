"""What the configuration of every service has in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from usbshare.common.config import Table, checked
from usbshare.common.errors import ConfigError
from usbshare.common.host_names import clean_names


def _check_name(text: str) -> None:
    if not any(clean_names([text])):
        raise ConfigError("neither a DNS name nor an IP address")


HostName = Annotated[str, checked(_check_name)]


class TlsTable(Table):
    """`[tls]`: more names for the host's certificate."""

    names: list[HostName] = Field(default_factory=list)
