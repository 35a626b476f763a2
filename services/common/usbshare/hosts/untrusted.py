"""Single values that strangers report about themselves: taken if they are valid."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

from usbshare.base.addresses import is_dns_name, parse_address
from usbshare.base.terminal_safe_text import clean_text

MOST_PORT_IDS = 64
_MOST_VERSION_BYTES = 32

_PORT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_SITE = re.compile(r"[0-9a-f]{64}")
_SCOPE = re.compile(r"[A-Za-z0-9._-]{1,32}")


def tcp_port(value: object) -> int:
    """Return a TCP port; 0 for everything else."""
    if not isinstance(value, int) or isinstance(value, bool):
        return 0
    return value if 1 <= value <= 65535 else 0


def port_ids(values: Iterable[object]) -> tuple[str, ...]:
    """Return at most 64 ids of serial ports, each once."""
    good = [each for each in values if isinstance(each, str) and _PORT_ID.fullmatch(each)]
    return tuple(dict.fromkeys(good))[:MOST_PORT_IDS]


def site(value: object) -> str:
    """Return the fingerprint of a site, 64 hex digits in lower case; empty for all else."""
    folded = value.lower() if isinstance(value, str) else ""
    return folded if _SITE.fullmatch(folded) else ""


def version(value: object) -> str:
    """Return a version as it may be shown."""
    return clean_text(value, _MOST_VERSION_BYTES) if isinstance(value, str) else ""


def host(value: str) -> str:
    """Return a DNS name without its final dot; empty for all else."""
    name = value.removesuffix(".")
    return name if name.isascii() and is_dns_name(name) else ""


def ip_address(value: str) -> str:
    """Return an address at which a host can be, with its scope; empty for all else."""
    address = parse_address(value)
    if address is None or address.is_unspecified or address.is_multicast:
        return ""
    scope = address.scope_id if isinstance(address, ipaddress.IPv6Address) else None
    if scope is not None and not _SCOPE.fullmatch(scope):
        return ""
    return str(address)
