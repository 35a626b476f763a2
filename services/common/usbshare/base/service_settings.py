"""What the configuration of every service has in common."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from usbshare.base.addresses import split_host_port
from usbshare.base.config import Table, checked
from usbshare.base.errors import ConfigError
from usbshare.base.host_names import clean_names
from usbshare.base.usual_ports import ENROLMENT_PORT

_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


def _check_name(text: str) -> None:
    if not any(clean_names([text])):
        raise ConfigError("neither a DNS name nor an IP address")


HostName = Annotated[str, checked(_check_name)]


def _check_enrolment(text: str) -> None:
    if text:
        split_host_port(text, ENROLMENT_PORT)


Address = Annotated[str, checked(lambda text: split_host_port(text, 0))]


class ListenTable(Table):
    """Where a service listens and how it talks: what the table of each service begins with."""

    listen: Address
    metrics: Address | None = None
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["text", "json"] = "text"


class TlsTable(Table):
    """`[tls]`: more names for the host's certificate, how long certificates last, where to enrol.

    `enrolment`: what listens while an invitation is open; empty for nothing.
    """

    names: list[HostName] = Field(default_factory=list)
    certificate_days: int = Field(default=90, ge=1, le=3650)
    enrolment: Annotated[str, checked(_check_enrolment)] = f"[::]:{ENROLMENT_PORT}"


def valid_ids(what: str) -> AfterValidator:
    """Return the check of a table of tables, each named by the id of a port or a camera."""

    def check(tables: dict[str, Any]) -> dict[str, Any]:
        for each in tables:
            if not _ID.fullmatch(each):
                raise ValueError(f"{what} id '{each}' may contain only a-z, 0-9, '.', '_', '-'")
        return tables

    return AfterValidator(check)
