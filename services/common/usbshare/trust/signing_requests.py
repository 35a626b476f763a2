"""Certificate signing requests (PKCS #10): made where the key is, checked where it is signed."""

from __future__ import annotations

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from usbshare.base.errors import InvalidArgumentError
from usbshare.trust.certificates import Key

MOST_REQUEST_BYTES = 16 * 1024
LEAST_RSA_BITS = 2048


def new_request(key: Key, name: str) -> str:
    """Return a signing request for the key, PEM."""
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    request = x509.CertificateSigningRequestBuilder(subject).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode("ascii")


def requested_key(csr_pem: str) -> CertificatePublicKeyTypes:
    """Return the public key that a request proves to have; InvalidArgumentError says what is bad.

    P-256, P-384, or RSA of at least 2048 bits. gRPC's TLS takes no Ed25519 from clients.
    """
    if len(csr_pem) > MOST_REQUEST_BYTES:
        raise InvalidArgumentError("certificate_request is too long")
    try:
        request = x509.load_pem_x509_csr(csr_pem.encode())
        public = request.public_key()
        is_signed = request.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature) as error:
        raise InvalidArgumentError(f"certificate_request cannot be read: {error}") from error
    if not is_signed:
        raise InvalidArgumentError("certificate_request is not signed by its own key")
    if not _is_strong(public):
        raise InvalidArgumentError(
            "certificate_request has a key that this host does not accept: use P-256, P-384, "
            "or RSA of 2048 bits or more"
        )
    return public


def _is_strong(public: object) -> bool:
    if isinstance(public, rsa.RSAPublicKey):
        return public.key_size >= LEAST_RSA_BITS
    if isinstance(public, ec.EllipticCurvePublicKey):
        return isinstance(public.curve, ec.SECP256R1 | ec.SECP384R1)
    return False
