"""The names of DNS-SD: full ones, subtypes, and what a host is called when its name is taken."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator

from usbshare.base.terminal_safe_text import MOST_NAME_BYTES
from usbshare.hosts.instance import Kind

SERVICE_TYPE = "_usb-share._tcp.local."
_SUFFIX = f".{SERVICE_TYPE}"
_NUMBERED = re.compile(r"(?P<base>.+) \((?P<number>[2-9]|[1-9]\d{1,3})\)")
# That many in a row are no accident; a random name ends it.
_MOST_NUMBERED = 20


def full_name(label: str) -> str:
    """Return the service name of an instance; dots in the label stay as they are."""
    return label + _SUFFIX


def label_of(name: str) -> str:
    """Return the instance label of a full service name, empty if it is none of ours.

    A name that no label can hold, 63 bytes, is none.
    """
    label = name[: -len(_SUFFIX)]
    if not name.lower().endswith(_SUFFIX) or len(label.encode()) > MOST_NAME_BYTES:
        return ""
    return "" if label.lower().endswith("._sub") else label


def subtype(kind: Kind) -> str:
    """Return the type under which hosts with that service alone are found, RFC 6763 7.1."""
    return f"_{kind.value}._sub.{SERVICE_TYPE}"


def candidates(wanted: str) -> Iterator[str]:
    """Yield the name, then `Name (2)`, `Name (3)` … within 63 bytes, RFC 6763 appendix D."""
    yield wanted
    numbered = _NUMBERED.fullmatch(wanted)
    base, first = (numbered["base"], int(numbered["number"]) + 1) if numbered else (wanted, 2)
    for number in range(first, first + _MOST_NUMBERED):
        yield _with_suffix(base, f" ({number})")
    while True:
        yield _with_suffix(base, f" ({secrets.token_hex(3)})")


def _with_suffix(base: str, suffix: str) -> str:
    room = MOST_NAME_BYTES - len(suffix)
    return base.encode()[:room].decode(errors="ignore").rstrip() + suffix
