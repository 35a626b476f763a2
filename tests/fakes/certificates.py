"""Certificates of any kind, good and bad, and servers that use them."""

from __future__ import annotations

import ipaddress
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from usbshare.base.host_names import HostNames
from usbshare.rpc.server import add_standard_services, bind, make_server
from usbshare.rpc.tls import server_credentials
from usbshare.trust import certificates
from usbshare.trust.site import Site, ensure_site

SERVER = ExtendedKeyUsageOID.SERVER_AUTH
CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
LOOPBACK = HostNames(("localhost",), ("127.0.0.1", "::1"))


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate and its key, and both as PEM."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return certificates.key_pem(self.key)


def issue(
    issuer: Issued | None = None,
    *,
    name: str = "test",
    names: Sequence[str] = (),
    usage: x509.ObjectIdentifier | None = None,
    from_days: float = -1,
    to_days: float = 30,
) -> Issued:
    """Make a certificate; without an issuer it is an authority. Days count from now.

    Names are DNS names, IP addresses, or URIs.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    parent = subject if issuer is None else issuer.certificate.subject
    signer = key if issuer is None else issuer.key
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder(parent, subject, key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=from_days))
        .not_valid_after(now + timedelta(days=to_days))
        .add_extension(x509.BasicConstraints(issuer is None, None), True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), False
        )
    )
    if names:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([_general_name(name) for name in names]), False
        )
    if usage is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), False)
    return Issued(builder.sign(signer, hashes.SHA256()), key)


def write_bundle(path: Path, client: Issued, *authorities: Issued) -> Path:
    """Write a client's PEM bundle, readable by its owner only."""
    path.touch(mode=0o600)
    path.write_bytes(client.key_pem + client.pem + b"".join(ca.pem for ca in authorities))
    return path


def make_site(folder: Path, names: HostNames = LOOPBACK, now: datetime | None = None) -> Site:
    """Make a site for this computer under the folder; its `client_bundle` is ready for use."""
    return ensure_site(folder, names, now)


def write_site(folder: Path, authority: Issued, server: Issued) -> Site:
    """Lay out a site from certificates of any kind; its authority's key stays with the test."""
    home = folder / "site"
    home.mkdir(parents=True)
    site = Site(folder, "0" * 64)
    site.ca_certificate.write_bytes(authority.pem)
    site.server_certificate.write_bytes(server.pem)
    site.server_key.write_bytes(server.key_pem)
    (home / "identities.json").write_text('{"identities": []}')
    return site


@asynccontextmanager
async def serving(site: Site | None, server: grpc.aio.Server | None = None) -> AsyncIterator[int]:
    """Run a server with health on 127.0.0.1, in plaintext without a site; yields its port."""
    server = server or make_server()
    await add_standard_services(server, [])
    credentials = None if site is None else server_credentials(site)
    port = bind(server, "127.0.0.1:0", credentials)
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


def _general_name(text: str) -> x509.GeneralName:
    if "://" in text:
        return x509.UniformResourceIdentifier(text)
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)
