"""The TXT record of a DNS-SD instance (RFC 6763, section 6), ours and everybody's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from usbshare.base.terminal_safe_text import clean_name
from usbshare.hosts import untrusted
from usbshare.hosts.instance import Endpoint, Instance, Kind
from usbshare.hosts.merge import best_first

MOST_BYTES = 1300  # of a record that we read: what fits into one packet, RFC 6763 6.2
_MOST_PAIR_BYTES = 255  # of `key=value`, which has one byte for its length

_VERSION_OF_FORMAT = "1"


def to_properties(instance: Instance) -> dict[str, str]:
    """Return what is announced of an instance; port ids that do not fit are left out."""
    properties = {
        "txtvers": _VERSION_OF_FORMAT,
        "version": untrusted.version(instance.version),
        "tls": "1" if instance.tls else "0",
        **{each.kind.value: str(each.port) for each in instance.endpoints},
        "ports": _joined(instance.port_ids, _MOST_PAIR_BYTES - len("ports=")),
        "site": instance.site,
    }
    return {key: value for key, value in properties.items() if value}


def from_properties(
    name: str,
    host: str,
    addresses: Iterable[str],
    srv_port: int,
    properties: Mapping[bytes, bytes | None],
) -> Instance | None:
    """Read an announcement; None if it has no name, is nowhere, or offers nothing.

    Wrong and unknown keys are as if they were not there, and so is what follows 1300 bytes.
    """
    texts = _texts(properties)
    shown, where = clean_name(name), untrusted.host(host)
    places = best_first(filter(None, map(untrusted.ip_address, addresses)))
    endpoints = _endpoints(texts, srv_port)
    if not (shown and endpoints and (places or where)):
        return None
    return Instance(
        shown,
        places,
        endpoints,
        host=where,
        port_ids=untrusted.port_ids(texts.get("ports", "").split(",")),
        tls=texts.get("tls") != "0",
        site=untrusted.site(texts.get("site")),
        version=untrusted.version(texts.get("version")),
    )


def _joined(port_ids: Iterable[str], most_bytes: int) -> str:
    joined = ""
    for port_id in untrusted.port_ids(port_ids):
        longer = f"{joined},{port_id}" if joined else port_id
        if len(longer) > most_bytes:
            break
        joined = longer
    return joined


def _texts(properties: Mapping[bytes, bytes | None]) -> dict[str, str]:
    """Return what is readable, keys in lower case; the first of equal keys counts (6.4)."""
    texts: dict[str, str] = {}
    left = MOST_BYTES
    for key, value in properties.items():
        pair_bytes = len(key) + 1 + len(value or b"")
        left -= pair_bytes + 1
        if left < 0:
            break
        if value is not None and pair_bytes <= _MOST_PAIR_BYTES:
            texts.setdefault(_decoded(key).lower(), _decoded(value))
    return texts


def _decoded(raw: bytes) -> str:
    return raw.decode(errors="replace")


def _endpoints(texts: Mapping[str, str], srv_port: int) -> tuple[Endpoint, ...]:
    ports = {kind: _port(texts.get(kind.value, "")) for kind in Kind}
    if not any(ports.values()):
        ports[Kind.SERIAL] = untrusted.tcp_port(srv_port)
    return tuple(Endpoint(kind, port) for kind, port in ports.items() if port)


def _port(text: str) -> int:
    is_number = text.isascii() and text.isdecimal() and len(text) <= 5
    return untrusted.tcp_port(int(text)) if is_number else 0
