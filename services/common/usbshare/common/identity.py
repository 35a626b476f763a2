"""Who calls: the identity in the client's certificate.

Every connection over TLS has shown a certificate of the site in its handshake, for health too:
health asks for no right, but a stranger cannot reach it. So an RPC always has an identity, and only
a plaintext server's (loopback by `server.bind`) is `insecure`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import grpc

from usbshare.common.errors import PermissionDeniedError

INSECURE = "insecure"
_SCHEME = "usbshare://"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who (`usbshare://<site>/operator`, a common name, or `insecure`), and from which address."""

    name: str
    address: str


def peer_identity(context: grpc.aio.ServicerContext[Any, Any]) -> Identity:
    """Return the caller's identity; PermissionDeniedError if its certificate names nobody."""
    return Identity(_name(context.auth_context()), _address(context.peer()))


def _name(auth: Mapping[str, Iterable[bytes]]) -> str:
    if _first(auth, "transport_security_type") != "ssl":
        return INSECURE
    for uri in auth.get("peer_uri", ()):
        if (text := uri.decode("utf-8", "replace")).startswith(_SCHEME):
            return text
    if common_name := _first(auth, "x509_common_name").strip():
        return common_name
    raise PermissionDeniedError("the client certificate has neither a usbshare URI nor a name")


def _first(auth: Mapping[str, Iterable[bytes]], key: str) -> str:
    return next((value.decode("utf-8", "replace") for value in auth.get(key, ())), "")


def _address(peer: str) -> str:
    # gRPC writes `ipv4:192.0.2.7:1234` and `ipv6:%5Bfd00::7%5D:1234`.
    return unquote(peer.partition(":")[2])
