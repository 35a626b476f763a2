"""Reads `usbshare://host[:port][/port-id][?observe=1&bundle=PATH&insecure=1]`."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from usbshare.base.errors import InvalidArgumentError
from usbshare.base.paths import client_bundle_path
from usbshare.rpc.channel import Target, parse_target
from usbshare.rpc.tls import ClientBundle

log = logging.getLogger(__name__)

SCHEME = "usbshare"
BUNDLE_VARIABLE = "USBSHARE_BUNDLE"
_OPTIONS = ("observe", "bundle", "insecure")
_SWITCH = {"0": False, "1": True}


@dataclass(frozen=True, slots=True)
class PortAddress:
    """A remote port and how to reach it: without a bundle in plaintext; an empty id: the only."""

    target: Target
    port_id: str
    bundle: ClientBundle | None
    observe: bool

    def __str__(self) -> str:
        return f"{SCHEME}://{self.target}/{self.port_id}"


def parse_url(url: str) -> PortAddress:
    """Read the URL and its bundle; InvalidArgumentError or ConfigError says what is wrong."""
    parts = urlsplit(url)
    if parts.scheme != SCHEME:
        raise InvalidArgumentError(f"{url!r} is not a {SCHEME}:// URL")
    options = _options(url, parts.query)
    insecure = _switch(options, "insecure")
    return PortAddress(
        parse_target(parts.netloc),
        unquote(parts.path.strip("/")),
        None if insecure else _load_bundle(options.get("bundle")),
        _switch(options, "observe"),
    )


def _options(url: str, query: str) -> dict[str, str]:
    options = dict(parse_qsl(query, keep_blank_values=True))
    unknown = sorted(set(options) - set(_OPTIONS))
    if unknown:
        raise InvalidArgumentError(
            f"{url!r} has an unknown option {unknown[0]!r}; the options are {', '.join(_OPTIONS)}"
        )
    return options


def _switch(options: dict[str, str], name: str) -> bool:
    value = options.get(name, "0")
    if value not in _SWITCH:
        raise InvalidArgumentError(f"the option {name}={value} is neither 0 nor 1")
    return _SWITCH[value]


def _load_bundle(path: str | None) -> ClientBundle:
    chosen = path or os.environ.get(BUNDLE_VARIABLE)
    bundle = ClientBundle.load(Path(chosen).expanduser() if chosen else client_bundle_path())
    if bundle.warning:
        log.warning("%s", bundle.warning)
    return bundle
