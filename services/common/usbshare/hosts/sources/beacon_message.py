"""The JSON messages of the UDP beacon: `type`, `name`, `addr`, `version`, `timestamp`, and more.

Ours have more keys than other tools know: `id` (of the sender, while it runs), `services`, `site`,
`tls`, `ports`, and `gone` in a withdrawal. Of other tools' messages the five are enough.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Never

from usbshare.base.addresses import join_host_port, parse_address, split_host_port
from usbshare.base.errors import InvalidArgumentError, UsbshareError
from usbshare.base.terminal_safe_text import clean_name
from usbshare.hosts import untrusted
from usbshare.hosts.instance import USUAL_PORTS, Endpoint, Instance, Kind

MOST_BYTES = 1400
TYPE = "usb-share"

_SENDER_ID = re.compile(r"[0-9a-f]{1,32}")
# Left out one after the other until the message fits; what every tool reads stays.
_DISPENSABLE = ("ports", "site", "services")


class BeaconError(UsbshareError):
    """A beacon message is not one; the text says why and quotes nothing of it."""


@dataclass(frozen=True, slots=True)
class BeaconMessage:
    """An instance at one address, or its withdrawal; `sender_id` is empty for other tools."""

    instance: Instance
    sender_id: str = ""
    is_goodbye: bool = False

    @property
    def key(self) -> str:
        """What distinguishes this instance from others, at whichever of its addresses it sends."""
        where = self.sender_id or self.instance.addresses[0]
        return f"{self.instance.name.casefold()} {where}"


def encode(
    instance: Instance, address: str, now: float, *, sender_id: str = "", gone: bool = False
) -> bytes:
    """Write the message for one of the host's addresses; `now` in seconds since 1970."""
    message = {
        "type": TYPE,
        "name": clean_name(instance.name),
        "addr": join_host_port(address, _told_port(instance)),
        "version": untrusted.version(instance.version),
        "timestamp": int(now),
        "id": sender_id,
        "services": {each.kind.value: each.port for each in instance.endpoints},
        "site": instance.site,
        "tls": instance.tls,
        "ports": untrusted.port_ids(instance.port_ids),
        "gone": gone,
    }
    optional = {"id": "", "site": "", "tls": True, "ports": (), "gone": False}
    told = {key: value for key, value in message.items() if optional.get(key, ...) != value}
    for key in _DISPENSABLE:
        if len(_dumped(told)) > MOST_BYTES:
            told.pop(key, None)
    return _dumped(told)


def decode(data: bytes, sender_address: str) -> BeaconMessage:
    """Read a message that came from that address; raises BeaconError for what is none."""
    message = _object(data)
    kind = _kind(message.get("type"))
    name = clean_name(_text(message, "name"))
    if not name:
        raise BeaconError("the name is empty")
    address, port = _place(message.get("addr"), sender_address, USUAL_PORTS[kind])
    instance = Instance(
        name,
        (address,),
        _endpoints(message.get("services")) or (Endpoint(kind, port),),
        port_ids=untrusted.port_ids(_listed(message.get("ports"))),
        tls=message.get("tls") is not False,
        site=untrusted.site(message.get("site")),
        version=untrusted.version(message.get("version")),
    )
    return BeaconMessage(instance, _sender_id(message.get("id")), message.get("gone") is True)


def _told_port(instance: Instance) -> int:
    first = instance.endpoints[0].port if instance.endpoints else USUAL_PORTS[Kind.SERIAL]
    return instance.port_of(Kind.SERIAL) or first


def _dumped(message: dict[str, Any]) -> bytes:
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def _object(data: bytes) -> dict[str, Any]:
    if len(data) > MOST_BYTES:
        raise BeaconError(f"{len(data)} bytes, more than {MOST_BYTES}")
    try:
        message = json.loads(data.decode(), parse_constant=_refuse)
    # ValueError: no UTF-8, no JSON, or a number of too many digits
    except (ValueError, RecursionError) as error:
        raise BeaconError(f"not JSON ({type(error).__name__})") from None
    if not isinstance(message, dict):
        raise BeaconError("not a JSON object")
    return message


def _refuse(constant: str) -> Never:
    raise ValueError(constant)  # NaN and Infinity are no JSON


def _kind(type_: object) -> Kind:
    if not isinstance(type_, str):
        raise BeaconError("the type is not text")
    folded = type_.casefold()
    others = (Kind.CAMERA, Kind.DISCOVERY)
    return next((kind for kind in others if kind.value in folded), Kind.SERIAL)


def _text(message: dict[str, Any], key: str) -> str:
    value = message.get(key)
    if not isinstance(value, str):
        raise BeaconError(f"the {key} is not text")
    return value


def _place(addr: object, sender_address: str, default_port: int) -> tuple[str, int]:
    """Return address and port; the sender's if the announced one is unusable here."""
    try:
        told, port = split_host_port(addr if isinstance(addr, str) else "", default_port)
    except InvalidArgumentError:
        told, port = "", default_port
    address = untrusted.ip_address(told)
    if not address or (_is_loopback(address) and not _is_loopback(sender_address)):
        address = sender_address
    return address, untrusted.tcp_port(port) or default_port


def _is_loopback(text: str) -> bool:
    address = parse_address(text)
    return address is not None and address.is_loopback


def _endpoints(services: object) -> tuple[Endpoint, ...]:
    ports = services if isinstance(services, dict) else {}
    told = {kind: untrusted.tcp_port(ports.get(kind.value)) for kind in Kind}
    return tuple(Endpoint(kind, port) for kind, port in told.items() if port)


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _sender_id(value: object) -> str:
    return value if isinstance(value, str) and _SENDER_ID.fullmatch(value) else ""
