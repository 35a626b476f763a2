"""X.509 as usbshare uses it: P-256 keys, one authority, short-lived leaf certificates."""

from __future__ import annotations

import base64
import hashlib
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import (
    CertificatePublicKeyTypes,
    PrivateKeyTypes,
    PublicKeyTypes,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_LIFE = timedelta(days=3650)
LEAF_LIFE = timedelta(days=90)
# Computers without a clock battery start in the past; what was issued must be valid there already.
BACKDATE = timedelta(days=1)

Key = ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class Authority:
    """What signs a site's certificates."""

    certificate: x509.Certificate
    key: Key


@dataclass(frozen=True, slots=True)
class Bundle:
    """What one PEM file holds: a key, its certificate, and those that vouch for it."""

    key: PrivateKeyTypes
    certificate: x509.Certificate
    authorities: tuple[x509.Certificate, ...]


@dataclass(frozen=True, slots=True)
class _Leaf:
    common_name: str
    names: list[x509.GeneralName]
    usage: x509.ObjectIdentifier


def new_key() -> Key:
    """Make a P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def new_authority(key: Key, now: datetime) -> Authority:
    """Sign the key's own certificate, named after the key, valid for ten years."""
    name = _name(f"usbshare site {site_id(fingerprint(key.public_key()))}")
    builder = _valid(_builder(name, key.public_key(), name, key), now, AUTHORITY_LIFE)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
    builder = builder.add_extension(_key_usage(of_authority=True), True)
    return Authority(builder.sign(key, hashes.SHA256()), key)


def issue_server(
    authority: Authority,
    key: Key,
    dns: Iterable[str],
    addresses: Iterable[str],
    now: datetime,
    life: timedelta = LEAF_LIFE,
) -> x509.Certificate:
    """Sign a server's certificate for these DNS names and IP addresses."""
    names: list[x509.GeneralName] = [x509.DNSName(name) for name in dns]
    names += [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
    leaf = _Leaf("usbshare host", names, ExtendedKeyUsageOID.SERVER_AUTH)
    return _issue(authority, key.public_key(), leaf, now, life)


def issue_client(
    authority: Authority,
    key: Key | CertificatePublicKeyTypes,
    uri: str,
    now: datetime,
    life: timedelta = LEAF_LIFE,
) -> x509.Certificate:
    """Sign a client's certificate for the identity `uri`; its last part becomes the common name."""
    public = key.public_key() if isinstance(key, ec.EllipticCurvePrivateKey) else key
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri)]
    leaf = _Leaf(uri.rsplit("/", 1)[-1], names, ExtendedKeyUsageOID.CLIENT_AUTH)
    return _issue(authority, public, leaf, now, life)


def issue_moment(certificate: x509.Certificate) -> datetime:
    """Return when the certificate was issued, to the second."""
    return certificate.not_valid_before_utc + BACKDATE


def is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Return whether the issuer's key signed the certificate."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def is_for(certificate: x509.Certificate, usage: x509.ObjectIdentifier) -> bool:
    """Return whether the certificate's extended key usage allows this use."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    except x509.ExtensionNotFound:
        return True
    return usage in found.value


def subject_names(certificate: x509.Certificate) -> tuple[set[str], set[str]]:
    """Return the DNS names and the IP addresses that the certificate is for."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return set(), set()
    addresses = names.get_values_for_type(x509.IPAddress)
    return set(names.get_values_for_type(x509.DNSName)), {str(address) for address in addresses}


def uris(certificate: x509.Certificate) -> list[str]:
    """Return the URIs that the certificate is for."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return []
    return names.get_values_for_type(x509.UniformResourceIdentifier)


def fingerprint(key: PublicKeyTypes) -> str:
    """Return the SHA-256 of the public key (SubjectPublicKeyInfo), in hex."""
    return hashlib.sha256(_public_bytes(key)).hexdigest()


def short_fingerprint(key: PublicKeyTypes) -> str:
    """Return the first 40 bits of the public key's SHA-256 for people to compare: `ABCD-EFGH`."""
    return short_text(hashlib.sha256(_public_bytes(key)).digest())


def short_text(sha256: bytes) -> str:
    """Return the short form of a public key's SHA-256."""
    text = base64.b32encode(sha256[:5]).decode("ascii")
    return f"{text[:4]}-{text[4:]}"


def site_id(key_fingerprint: str) -> str:
    """Return the short name of the site whose authority has this fingerprint."""
    return key_fingerprint[:12]


def is_pair(certificate: x509.Certificate, key: PrivateKeyTypes) -> bool:
    """Return whether the certificate is for the key."""
    return _public_bytes(certificate.public_key()) == _public_bytes(key.public_key())


def key_pem(key: PrivateKeyTypes) -> bytes:
    """Return the key as unencrypted PKCS #8 PEM."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def certificate_pem(certificate: x509.Certificate) -> bytes:
    """Return the certificate as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def load_key(pem: bytes) -> Key:
    """Read an unencrypted elliptic-curve key from PEM; ValueError when there is none."""
    key = _load_any_key(pem)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("the key is not an elliptic-curve key")
    return key


def load_bundle(pem: bytes) -> Bundle:
    """Read key, certificate and authorities, in this order; ValueError says what is bad."""
    key = _load_any_key(pem)
    certificate, *authorities = x509.load_pem_x509_certificates(pem)
    if not is_pair(certificate, key):
        raise ValueError("the private key does not belong to the certificate")
    return Bundle(key, certificate, tuple(authorities))


def _load_any_key(pem: bytes) -> PrivateKeyTypes:
    try:
        return serialization.load_pem_private_key(pem, password=None)
    except (TypeError, UnsupportedAlgorithm) as error:
        raise ValueError(str(error)) from error


def _issue(
    authority: Authority,
    public: CertificatePublicKeyTypes,
    leaf: _Leaf,
    now: datetime,
    life: timedelta,
) -> x509.Certificate:
    issuer = authority.certificate.subject
    builder = _builder(_name(leaf.common_name), public, issuer, authority.key)
    builder = _valid(builder, now, life)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
    builder = builder.add_extension(_key_usage(of_authority=False), True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([leaf.usage]), False)
    builder = builder.add_extension(x509.SubjectAlternativeName(leaf.names), False)
    return builder.sign(authority.key, hashes.SHA256())


def _builder(
    subject: x509.Name, public: CertificatePublicKeyTypes, issuer: x509.Name, signer: Key
) -> x509.CertificateBuilder:
    signing = signer.public_key()
    builder = x509.CertificateBuilder(issuer, subject, public)
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public), False)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(signing)
    return builder.add_extension(identifier, False)


def _valid(
    builder: x509.CertificateBuilder, now: datetime, life: timedelta
) -> x509.CertificateBuilder:
    return builder.not_valid_before(now - BACKDATE).not_valid_after(now + life)


def _key_usage(*, of_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not of_authority,
        key_cert_sign=of_authority,
        crl_sign=of_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _public_bytes(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
