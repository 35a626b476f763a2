"""Where programs of this computer, and of no other, may connect."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from usbshare.base.addresses import join_host_port, parse_address, split_host_port
from usbshare.base.errors import ConfigError, InvalidArgumentError


@dataclass(frozen=True, slots=True)
class LoopbackAddress:
    """A numeric loopback address and a port; port 0 is any that is free."""

    host: str
    port: int

    def __str__(self) -> str:
        return join_host_port(self.host, self.port)


def loopback_address(text: str, default_port: int) -> LoopbackAddress:
    """Read `host:port`, IPv4 where a name has both; ConfigError when others could reach it."""
    try:
        host, port = split_host_port(text, default_port)
    except InvalidArgumentError as error:
        raise ConfigError(str(error)) from error
    found = _numeric(host)
    if not found:
        raise ConfigError(f"{text}: {host!r} has no address: use 127.0.0.1:{port}")
    if not all(_is_loopback(address) for address in found):
        raise ConfigError(
            f"refused to listen at {text}: anyone who can connect there could move the machine: "
            f"use 127.0.0.1:{port}"
        )
    return LoopbackAddress(min(found, key=lambda address: ":" in address), port)


def _numeric(host: str) -> list[str]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return [str(entry[4][0]) for entry in found]


def _is_loopback(text: str) -> bool:
    address = parse_address(text)
    return address is not None and address.is_loopback
