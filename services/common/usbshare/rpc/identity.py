"""Who calls: the identity in the client's certificate, taken strictly.

Every connection over TLS has shown a certificate of the site in its handshake, for health too:
health asks for no right, but a stranger cannot reach it. TLS has proven who signed it and that its
key is at the other end; what else a certificate of the site must be is judged here, at each RPC. So
an RPC always has an identity, and only a plaintext server's (loopback by `server.bind`) is
`insecure`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TypeAlias
from urllib.parse import unquote

import grpc

from usbshare.base.errors import PermissionDeniedError
from usbshare.trust.certificates import BACKDATE
from usbshare.trust.shown_certificate import ShownCertificate, read_shown

CallContext: TypeAlias = grpc.aio.ServicerContext[Any, Any]
INSECURE = "insecure"
_MOST_REMEMBERED = 1024
_read_shown = lru_cache(_MOST_REMEMBERED)(read_shown)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who (`usbshare://<site>/operator`, or `insecure`), from which address, by which certificate.

    `issued` is the moment at which the certificate was made (its start lies before it, see
    `certificates.BACKDATE`); it, `expires`, `serial` and `fingerprint`, the short one of its key,
    are empty over plaintext.
    """

    name: str
    address: str
    issued: datetime | None = None
    expires: datetime | None = None
    serial: int = 0
    fingerprint: str = ""


def peer_identity(context: CallContext, site: str = "", now: datetime | None = None) -> Identity:
    """Return the caller's identity; PermissionDeniedError says what is wrong with its certificate.

    With `site`, identities of other sites are refused.
    """
    address = _address(context.peer())
    auth = context.auth_context()
    if _first(auth, "transport_security_type") != b"ssl":
        return Identity(INSECURE, address)
    shown = _read_shown(_first(auth, "x509_pem_cert"))
    if problem := shown.problem or _why_not(shown, site, now or datetime.now(UTC)):
        raise PermissionDeniedError(f"the client certificate {problem}")
    issued = shown.start + BACKDATE
    return Identity(shown.uri, address, issued, shown.end, shown.serial, shown.fingerprint)


def peer_address(context: CallContext) -> str:
    """Return the address and port that the call comes from."""
    return _address(context.peer())


def _why_not(shown: ShownCertificate, site: str, now: datetime) -> str:
    if site and shown.site != site:
        return (
            f"is for '{shown.uri}', which does not belong to this site '{site}': enrol this "
            "computer here"
        )
    if now > shown.end:
        return f"expired on {shown.end:%Y-%m-%d %H:%M} UTC: renew it, or enrol this computer again"
    return ""


def _first(auth: Mapping[str, Iterable[bytes]], key: str) -> bytes:
    return next(iter(auth.get(key, ())), b"")


def _address(peer: str) -> str:
    # gRPC writes `ipv4:192.0.2.7:1234` and `ipv6:%5Bfd00::7%5D:1234`.
    return unquote(peer.partition(":")[2])
