"""Client certificates that a site must not let in, each wrong in one way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from usbshare.base.paths import SITE_FOLDER
from usbshare.rpc.tls import ClientBundle
from usbshare.trust import certificates
from usbshare.trust.site import Site

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
SERVER = ExtendedKeyUsageOID.SERVER_AUTH


@dataclass(frozen=True, slots=True)
class Signed:
    """A certificate with its key, and those to be shown along with it."""

    certificate: x509.Certificate
    key: Key
    chain: tuple[x509.Certificate, ...] = ()

    @property
    def chain_pem(self) -> bytes:
        return b"".join(map(pem, (self.certificate, *self.chain)))

    @property
    def key_pem(self) -> bytes:
        return certificates.key_pem(self.key)


def pem(certificate: x509.Certificate) -> bytes:
    """Return the certificate as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def curve_key(curve: ec.EllipticCurve | None = None) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(curve or ec.SECP256R1())


def rsa_key(bits: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


class Forge:
    """Has the key of a site's authority, and makes with it what no site would."""

    def __init__(self, site: Site) -> None:
        self.site = site
        certificate = x509.load_pem_x509_certificate(site.ca_certificate.read_bytes())
        key_file = (site.folder / SITE_FOLDER / "ca.key").read_bytes()
        key = serialization.load_pem_private_key(key_file, None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self.authority = Signed(certificate, key)
        self.uri = f"usbshare://{site.id}/operator"

    def sign(
        self,
        *,
        issuer: Signed | None = None,
        key: Key | None = None,
        uris: Sequence[str] | None = None,
        usage: x509.ObjectIdentifier | None = CLIENT,
        starts: timedelta = timedelta(days=-1),
        ends: timedelta = timedelta(days=30),
        is_authority: bool = False,
        name: str = "operator",
    ) -> Signed:
        """Sign a certificate that is good unless something is asked for."""
        issuer = issuer or self.authority
        key = key or curve_key()
        builder = _builder(key, issuer.certificate.subject, name, starts, ends)
        builder = builder.add_extension(x509.BasicConstraints(is_authority, None), True)
        builder = _named(builder, [self.uri] if uris is None else uris)
        if usage is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), False)
        return Signed(builder.sign(issuer.key, hashes.SHA256()), key)

    def other_authority(self, name: str = "other site") -> Signed:
        """Return an authority that this site does not know."""
        key = curve_key()
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = _builder(key, subject, name, timedelta(days=-1), timedelta(days=30))
        builder = builder.add_extension(x509.BasicConstraints(True, None), True)
        return Signed(builder.sign(key, hashes.SHA256()), key)

    def same_name_authority(self) -> Signed:
        """Return an authority of the same name as this site's, with its own key."""
        names = self.authority.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return self.other_authority(str(names[0].value))

    def bundle(self, folder: Path, client: Signed) -> ClientBundle:
        """Write a client's bundle that trusts this site; its validity is not checked."""
        path = folder / "forged.pem"
        path.touch(mode=0o600)
        authorities = self.site.ca_certificate.read_bytes()
        path.write_bytes(client.key_pem + client.chain_pem + authorities)
        expires = client.certificate.not_valid_after_utc
        return ClientBundle(path, client.key_pem, client.chain_pem, authorities, expires)


def self_signed(forge: Forge) -> Signed:
    key = curve_key()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "operator")])
    builder = _builder(key, subject, "operator", timedelta(days=-1), timedelta(days=30))
    builder = _named(builder, [forge.uri])
    builder = builder.add_extension(x509.ExtendedKeyUsage([CLIENT]), False)
    return Signed(builder.sign(key, hashes.SHA256()), key)


def signed_by_a_leaf(forge: Forge) -> Signed:
    leaf = forge.sign()
    child = forge.sign(issuer=leaf, name="child")
    return Signed(child.certificate, child.key, (leaf.certificate,))


def with_a_broken_signature(forge: Forge) -> Signed:
    good = forge.sign()
    der = bytearray(good.certificate.public_bytes(serialization.Encoding.DER))
    der[-1] ^= 1
    return Signed(x509.load_der_x509_certificate(bytes(der)), good.key)


def by_the_same_name(forge: Forge) -> Signed:
    authority = forge.same_name_authority()
    client = forge.sign(issuer=authority)
    return Signed(client.certificate, client.key, (authority.certificate,))


Make = Callable[[Forge], Signed]


def _builder(
    key: Key, issuer: x509.Name, name: str, starts: timedelta, ends: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder(issuer, subject, key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    return builder.not_valid_before(now + starts).not_valid_after(now + ends)


def _named(builder: x509.CertificateBuilder, uris: Sequence[str]) -> x509.CertificateBuilder:
    if not uris:
        return builder
    names = [x509.UniformResourceIdentifier(uri) for uri in uris]
    return builder.add_extension(x509.SubjectAlternativeName(names), False)
