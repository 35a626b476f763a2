"""What a certificate signing request must be."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from usbshare.base.errors import InvalidArgumentError
from usbshare.trust import certificates
from usbshare.trust.signing_requests import MOST_REQUEST_BYTES, new_request, requested_key

SubjectKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


def signed_by(key: SubjectKey) -> str:
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "x")])
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    request = x509.CertificateSigningRequestBuilder(subject).sign(key, algorithm)
    return request.public_bytes(serialization.Encoding.PEM).decode()


def forged() -> str:
    """Return a request whose signature is not its key's."""
    pem = new_request(certificates.new_key(), "x")
    der = bytearray(x509.load_pem_x509_csr(pem.encode()).public_bytes(serialization.Encoding.DER))
    der[-1] ^= 1
    return x509.load_der_x509_csr(bytes(der)).public_bytes(serialization.Encoding.PEM).decode()


def test_our_own_request_gives_its_key() -> None:
    key = certificates.new_key()
    assert requested_key(new_request(key, "office-pc")) == key.public_key()


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP384R1()),
        rsa.generate_private_key(65537, 2048),
    ],
    ids=["P-384", "RSA-2048"],
)
def test_strong_keys_of_others_are_taken(key: SubjectKey) -> None:
    assert requested_key(signed_by(key)) == key.public_key()


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP256K1()),
        ec.generate_private_key(ec.SECP192R1()),
        rsa.generate_private_key(65537, 1024),
        ed25519.Ed25519PrivateKey.generate(),  # with it gRPC's handshake fails
    ],
    ids=["secp256k1", "P-192", "RSA-1024", "Ed25519"],
)
def test_weak_or_unusual_keys_are_refused(key: SubjectKey) -> None:
    with pytest.raises(InvalidArgumentError, match="certificate_request"):
        requested_key(signed_by(key))


def test_a_request_must_be_signed_by_its_own_key() -> None:
    with pytest.raises(InvalidArgumentError, match="certificate_request"):
        requested_key(forged())


@pytest.mark.parametrize("text", ["", "x", "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n", "ä" * 9])
def test_an_invalid_signing_request_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match="certificate_request cannot be read"):
        requested_key(text)


def test_a_huge_request_is_refused_unread() -> None:
    with pytest.raises(InvalidArgumentError, match="too long"):
        requested_key("A" * (MOST_REQUEST_BYTES + 1))
