"""What the settings files of the older tool mean here; pure, `import_settings` reads the files."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from usbshare.base.addresses import join_host_port, split_host_port
from usbshare.base.errors import InvalidArgumentError
from usbshare.base.terminal_safe_text import clean_name
from usbshare.base.usual_ports import SERIAL_PORT as DEFAULT_PORT

Key = tuple[str, ...]

_MOST_SHOWN = 60
_SERIAL_DEVICE = re.compile(r"COM\d{1,3}|/dev/[A-Za-z0-9._/:+-]{1,200}")
_ALWAYS_TLS = "every connection is encrypted and both sides prove who they are"


@dataclass(frozen=True, slots=True)
class Taken:
    """What becomes of one or more of its keys: what to set here, and a line for the user."""

    keys: tuple[str, ...]
    text: str
    changes: Mapping[Key, Any] = field(default_factory=dict)


def client_settings(found: Mapping[str, Any]) -> list[Taken]:
    """Return what each key of a `client_config.json` becomes."""
    return _each(
        found,
        {
            ("server_ip", "server_port"): _address,
            ("last_server_name",): _last_server_name,
            ("virtual_com_port",): _virtual_com_port,
            ("auto_reconnect",): _dropped("a bridge always reconnects"),
            ("auto_discover",): _dropped("a target given by name is always searched for"),
            ("use_tls",): _use_tls,
        },
    )


def server_settings(found: Mapping[str, Any]) -> list[Taken]:
    """Return what each key of a `server_config.json` becomes."""
    return _each(
        found,
        {
            ("server_name",): _server_name,
            ("server_port",): _server_port,
            ("enable_discovery",): _enable_discovery,
            ("last_serial_port",): _last_serial_port,
            ("last_camera_index",): _dropped("cameras are now identified by their hardware"),
            ("use_tls",): _use_tls,
        },
    )


_Meaning = Callable[[Mapping[str, Any]], tuple[str, dict[Key, Any]]]


def _each(found: Mapping[str, Any], meanings: Mapping[tuple[str, ...], _Meaning]) -> list[Taken]:
    """Ask each meaning whose keys are there; keys without one get a line too."""
    taken = []
    for keys, meaning in meanings.items():
        if present := tuple(key for key in keys if key in found):
            text, changes = meaning(found)
            taken.append(Taken(present, text, changes))
    known = {key for keys in meanings for key in keys}
    unknown = (key for key in found if key not in known)
    return taken + [Taken((shown(key),), "not imported: unknown") for key in unknown]


def _address(found: Mapping[str, Any]) -> tuple[str, dict[Key, Any]]:
    host, port = found.get("server_ip"), found.get("server_port", DEFAULT_PORT)
    if not host:
        return "not imported: there is no address", {}
    if not isinstance(host, str) or not _is_port(port):
        return f"not imported: {shown(host)} and {shown(port)} are not an address", {}
    try:
        split_host_port(join_host_port(host, port), port)
    except InvalidArgumentError as error:
        return f"not imported: {error}", {}
    return _set({("bridge", "target"): join_host_port(host, port)})


def _last_server_name(found: Mapping[str, Any]) -> tuple[str, dict[Key, Any]]:
    name = _name(found["last_server_name"])
    if found.get("server_ip"):
        return "not imported: there is an address", {}
    return _set({("bridge", "target"): name}) if name else ("not imported: no name", {})


def _virtual_com_port(found: Mapping[str, Any]) -> tuple[str, dict[Key, Any]]:
    name = found["virtual_com_port"]
    if not (isinstance(name, str) and name and name.isprintable()):
        return f"not imported: {shown(name)} is not a port", {}
    return _set({("bridge", "vcom"): name})


def _use_tls(found: Mapping[str, Any]) -> tuple[str, dict[Key, Any]]:
    if found["use_tls"] is False:
        return f"not imported: plaintext is no longer supported, {_ALWAYS_TLS}", {}
    return f"no longer has a meaning: {_ALWAYS_TLS}", {}


def _server_name(found: Mapping[str, Any]) -> tuple[str, dict[Key, Any]]:
    name = _name(found["server_name"])
    return _set({("discovery", "name"): name}) if name else ("not imported: no name", {})


def _server_port(found: Mapping[str, Any]) -> tuple[str, dict[Key, Any]]:
    port = found["server_port"]
    if not _is_port(port):
        return f"not imported: {shown(port)} is not a port", {}
    return _set({("service", "listen"): f"[::]:{port}"})


def _enable_discovery(found: Mapping[str, Any]) -> tuple[str, dict[Key, Any]]:
    wanted = found["enable_discovery"]
    if not isinstance(wanted, bool):
        return f"not imported: {shown(wanted)} is neither true nor false", {}
    return _set({("discovery", "mdns"): wanted, ("discovery", "beacon"): wanted})


def _last_serial_port(found: Mapping[str, Any]) -> tuple[str, dict[Key, Any]]:
    device = found["last_serial_port"]
    if not (isinstance(device, str) and _SERIAL_DEVICE.fullmatch(device)):
        return f"not imported: {shown(device)} is not a serial device", {}
    port_id = re.sub(r"[^a-z0-9._-]", "-", device.rpartition("/")[2].lower())[:63].lstrip("._-")
    return _set({("ports", port_id or "serial", "source"): device})


def _dropped(why: str) -> _Meaning:
    return lambda _: (f"no longer has a meaning: {why}", {})


def _set(changes: dict[Key, Any]) -> tuple[str, dict[Key, Any]]:
    return "", changes


def _name(value: object) -> str:
    return clean_name(value) if isinstance(value, str) else ""


def _is_port(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= 65535


def shown(value: object) -> str:
    """Return a value from a file, safe to print."""
    text = value if isinstance(value, str) and value.isprintable() else ascii(value)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"
