"""Where a program of ours serves HTTP on this computer."""

from __future__ import annotations

import errno
import os
import socket
from dataclasses import dataclass

from usbshare.base.addresses import join_host_port, parse_address, split_host_port
from usbshare.base.errors import ConfigError, InvalidArgumentError

_UNSENT_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class HttpUse:
    """What is served: what it is called, its usual port, and the option that chooses another."""

    what: str
    port: int
    option: str

    @property
    def usual(self) -> str:
        """The usual address."""
        return f"127.0.0.1:{self.port}"


PICTURES = HttpUse("pictures", 8081, "--http")
PANEL = HttpUse("the panel", 8080, "--listen")


@dataclass(frozen=True, slots=True)
class HttpAddress:
    """A numeric address and a port; port 0 is any that is free."""

    host: str
    port: int
    use: HttpUse = PICTURES

    @property
    def is_loopback(self) -> bool:
        """Whether only this computer can reach it."""
        address = parse_address(self.host)
        return address is not None and address.is_loopback

    @property
    def is_any(self) -> bool:
        """Whether it is that of all interfaces."""
        address = parse_address(self.host)
        return address is not None and address.is_unspecified

    def listen(self) -> socket.socket:
        """Return a listening socket; raises ConfigError that says why not."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        try:
            listening = socket.create_server((self.host, self.port), family=family)
        except OSError as error:
            raise ConfigError(self._why_not(error)) from error
        _keep_little_unsent(listening)
        return listening

    def url(self, port: int, token: str = "") -> str:
        """Return what to open in a browser of this computer."""
        host = socket.gethostname() if self.is_any else self.host
        return f"http://{join_host_port(host, port)}/" + (f"?token={token}" if token else "")

    def _why_not(self, error: OSError) -> str:
        where, use = join_host_port(self.host, self.port), self.use
        if error.errno == errno.EADDRINUSE:
            return (
                f"cannot serve {use.what} at {where}: another program listens there: "
                f"choose another port, as in {use.option} 127.0.0.1:{use.port + 1}"
            )
        reason = os.strerror(error.errno or 0).lower()
        remedy = f"choose another address with {use.option}"
        return f"cannot serve {use.what} at {where}: {reason}: {remedy}"


def http_address(text: str, use: HttpUse = PICTURES) -> HttpAddress:
    """Read `host`, `host:port` or `[v6]:port`; raises InvalidArgumentError."""
    host, port = split_host_port(text, use.port)
    if parse_address(host) is not None:
        return HttpAddress(host, port, use)
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise InvalidArgumentError(f"{text}: {host!r} has no address: use {use.usual}") from error
    addresses = [str(entry[4][0]) for entry in found]
    return HttpAddress(min(addresses, key=lambda address: ":" in address), port, use)


def _keep_little_unsent(listening: socket.socket) -> None:
    """Let what its reader has no room for wait in the program, where newer things replace it.

    Connections inherit it.
    """
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)
