"""Whose authority vouches for a port, looked at before anything is said to it. Blocks."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Sequence
from contextlib import closing
from datetime import datetime

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from OpenSSL import SSL

from usbshare.base.addresses import parse_address
from usbshare.base.errors import ConnectionRefusedByPeerError, UsbshareError
from usbshare.rpc.channel import Target
from usbshare.trust import certificates


class ImpostorError(UsbshareError):
    """What answers is not the host that is expected; nothing was said to it."""


class NobodyThereError(ConnectionRefusedByPeerError):
    """The host is there, and nothing listens at the port."""


def expected_authority(
    target: Target, sha256: bytes, now: datetime, timeout_s: float
) -> x509.Certificate:
    """Return the authority with this hash of its key, which vouches for the target.

    ImpostorError if it does not, ConnectionRefusedByPeerError if the target cannot be asked. No
    byte is sent but those of TLS's handshake.
    """
    chain = shown_chain(target, timeout_s)
    authority = next((each for each in chain[1:] if _key_hash(each) == sha256), None)
    if authority is None or not certificates.is_issued_by(chain[0], authority):
        raise ImpostorError(_why_another(target, chain, sha256))
    _require_current(target, chain[0], now)
    _require_name(target, chain[0])
    return authority


def shown_chain(target: Target, timeout_s: float) -> Sequence[x509.Certificate]:
    """Return the certificates that the target shows to anybody, its own first.

    Raises NobodyThereError, ConnectionRefusedByPeerError. Blocks.
    """
    deadline = time.monotonic() + timeout_s
    try:
        with socket.create_connection((target.host, target.port), timeout_s) as raw:
            return _chain(raw, target, deadline)
    except ConnectionRefusedError as error:
        raise NobodyThereError(f"nothing listens at {target}") from error
    except socket.gaierror as error:
        raise ConnectionRefusedByPeerError(f"the name in {target} is unknown here") from error
    except TimeoutError as error:
        raise ConnectionRefusedByPeerError(
            f"{target} does not answer: is the host on and in this network, and does its "
            f"firewall allow TCP {target.port}?"
        ) from error
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConnectionRefusedByPeerError(f"{target} cannot be reached ({reason})") from error


def _chain(raw: socket.socket, target: Target, deadline: float) -> Sequence[x509.Certificate]:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_alpn_protos([b"h2"])
    connection = SSL.Connection(context, raw)
    if parse_address(target.host) is None:
        connection.set_tlsext_host_name(target.host.encode("ascii"))
    connection.set_connect_state()
    with closing(connection):
        try:
            _shake_hands(connection, raw, deadline)
        except SSL.Error as error:
            raise ConnectionRefusedByPeerError(
                f"the program at {target} is not usbshare"
            ) from error
        return connection.get_peer_cert_chain(as_cryptography=True) or []


def _shake_hands(connection: SSL.Connection, raw: socket.socket, deadline: float) -> None:
    while True:
        try:
            connection.do_handshake()
        except SSL.WantReadError:
            _wait(raw, deadline, to_read=True)
        except SSL.WantWriteError:
            _wait(raw, deadline, to_read=False)
        else:
            return


def _wait(raw: socket.socket, deadline: float, *, to_read: bool) -> None:
    left_s = max(0.0, deadline - time.monotonic())
    reading, writing = ([raw], []) if to_read else ([], [raw])
    if not any(select.select(reading, writing, [], left_s)):
        raise TimeoutError


def _key_hash(certificate: x509.Certificate) -> bytes:
    return bytes.fromhex(certificates.fingerprint(certificate.public_key()))


def _why_another(target: Target, chain: Sequence[x509.Certificate], sha256: bytes) -> str:
    shown = certificates.short_fingerprint(chain[-1].public_key()) if chain else "none"
    return (
        f"the program at {target} is not the host of this invitation (the fingerprint of its "
        f"authority is {shown}, not {certificates.short_text(sha256)}); nothing was sent to it: "
        "the invitation was altered or is outdated, or an attacker is intercepting the "
        "connection"
    )


def _require_current(target: Target, certificate: x509.Certificate, now: datetime) -> None:
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not start <= now <= end:
        raise ConnectionRefusedByPeerError(
            f"the certificate of {target} is valid from {start:%Y-%m-%d} to {end:%Y-%m-%d}, but "
            f"this computer's clock says {now:%Y-%m-%d %H:%M} UTC: set the clock that is wrong"
        )
    if not certificates.is_for(certificate, ExtendedKeyUsageOID.SERVER_AUTH):
        raise ImpostorError(f"the program at {target} has a client's certificate, not a host's")


def _require_name(target: Target, certificate: x509.Certificate) -> None:
    dns, addresses = certificates.subject_names(certificate)
    if target.certified_name.lower() not in dns | addresses:
        names = ", ".join(sorted(dns) + sorted(addresses))
        raise ConnectionRefusedByPeerError(
            f"the certificate of {target} is not for {target.certified_name!r} but for {names}: "
            "add it to `[tls] names` on the host, and restart its services"
        )
