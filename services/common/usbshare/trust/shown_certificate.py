"""What a client's certificate says, and why it is none that a site issues."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from usbshare.trust import certificates
from usbshare.trust.names import SCHEME, is_uri

LEAST_RSA_BITS = 2048
LEAST_CURVE_BITS = 256
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
_ENROL = "enrol this computer"


@dataclass(frozen=True, slots=True)
class ShownCertificate:
    """Identity, validity, serial number, key; `problem` says why it counts for nothing, or "".

    The problem continues a sentence that begins with the certificate, as in "has expired".
    """

    problem: str = ""
    uri: str = ""
    site: str = ""
    start: datetime = _BEGINNING
    end: datetime = _BEGINNING
    serial: int = 0
    fingerprint: str = ""


def read_shown(pem: bytes) -> ShownCertificate:
    """Read a certificate that TLS has verified; never raises, whatever the certificate holds."""
    try:
        return _read(x509.load_pem_x509_certificate(pem))
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension) as error:
        return ShownCertificate(f"cannot be read ({error}): {_ENROL} again")


def weakness(certificate: x509.Certificate) -> str:
    """Return what is too weak about the certificate's key, or ""."""
    key = certificate.public_key()
    if isinstance(key, (ed25519.Ed25519PublicKey, ed448.Ed448PublicKey)):
        return ""
    if isinstance(key, rsa.RSAPublicKey):
        return _too_small("RSA", key.key_size, LEAST_RSA_BITS)
    if isinstance(key, ec.EllipticCurvePublicKey):
        return _too_small("elliptic-curve", key.curve.key_size, LEAST_CURVE_BITS)
    return "has an unsupported type of key"


def _read(certificate: x509.Certificate) -> ShownCertificate:
    named = certificates.uris(certificate)
    uris = [uri for uri in named if uri.casefold().startswith(SCHEME)]
    if (
        problem := _about_identity(uris, named)
        or _about_usage(certificate)
        or weakness(certificate)
    ):
        return ShownCertificate(f"{problem}: {_ENROL} again, for a usbshare certificate")
    return ShownCertificate(
        uri=uris[0],
        site=uris[0].removeprefix(SCHEME).partition("/")[0],
        start=certificate.not_valid_before_utc,
        end=certificate.not_valid_after_utc,
        serial=certificate.serial_number,
        fingerprint=certificates.short_fingerprint(certificate.public_key()),
    )


def _about_identity(uris: list[str], named: list[str]) -> str:
    if not uris:
        other = f", only {named[0][:80]!r}" if named else ""
        return (
            f"carries no usbshare identity (it has no {SCHEME} URI among its alternative "
            f"names{other})"
        )
    if len(uris) > 1:
        return f"carries {len(uris)} identities; only one is allowed"
    # It is printed, written to logs and matched by patterns: nothing may mean anything there.
    if not is_uri(uris[0]):
        return f"names {uris[0][:80]!r}, which is not an identity of the form {SCHEME}<site>/<name>"
    return ""


def _about_usage(certificate: x509.Certificate) -> str:
    if _is_authority(certificate):
        return "is an authority's certificate, not a client's"
    if ExtendedKeyUsageOID.CLIENT_AUTH not in _usages(certificate):
        return "is not for clients (its extended key usage lacks clientAuth)"
    return ""


def _usages(certificate: x509.Certificate) -> list[x509.ObjectIdentifier]:
    try:
        return list(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        return []


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _too_small(kind: str, bits: int, least: int) -> str:
    return f"has an {kind} key of {bits} bits; the minimum is {least}" if bits < least else ""
