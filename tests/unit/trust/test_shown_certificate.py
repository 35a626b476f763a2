"""What a client's certificate must be to count, and what is said of those that do not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from fakes.certificates import make_site
from fakes.forged import SERVER, Forge, curve_key, rsa_key
from usbshare.trust.certificates import short_fingerprint
from usbshare.trust.shown_certificate import ShownCertificate, read_shown


@pytest.fixture(scope="module")
def forge(tmp_path_factory: pytest.TempPathFactory) -> Forge:
    return Forge(make_site(tmp_path_factory.mktemp("host")))


def problem_with(forge: Forge, *uris: str) -> str:
    return read_shown(forge.sign(uris=uris).chain_pem).problem


def test_a_good_certificate_shows_who_and_until_when(forge: Forge) -> None:
    signed = forge.sign(ends=timedelta(days=7))
    shown = read_shown(signed.chain_pem)
    assert shown == ShownCertificate(
        problem="",
        uri=forge.uri,
        site=forge.site.id,
        start=signed.certificate.not_valid_before_utc,
        end=signed.certificate.not_valid_after_utc,
        serial=signed.certificate.serial_number,
        fingerprint=short_fingerprint(signed.certificate.public_key()),
    )


def test_a_certificate_of_a_site_is_accepted(forge: Forge) -> None:
    assert read_shown(forge.bundle(_folder(forge), forge.sign()).chain).problem == ""


def test_other_uris_beside_the_identity_do_no_harm(forge: Forge) -> None:
    assert problem_with(forge, "https://example.org/", forge.uri) == ""


@pytest.mark.parametrize(
    ("uris", "text"),
    [
        ((), "carries no usbshare identity"),
        (("https://example.org/x",), "carries no usbshare identity"),
        (("usbshare://a/b", "usbshare://a/c"), "carries 2 identities"),
        (("usbshare://a/b", "usbshare://a/b"), "carries 2 identities"),
        (("usbshare://a/b", "USBSHARE://a/c"), "carries 2 identities"),
        (("usbshare://",), "is not an identity"),
        (("usbshare:///operator",), "is not an identity"),
        (("usbshare://a/",), "is not an identity"),
        (("usbshare://a/b/c",), "is not an identity"),
        (("usbshare://a/../b",), "is not an identity"),
        (("usbshare://a/*",), "is not an identity"),
        (("usbshare://a/b\n",), "is not an identity"),
        (("usbshare://a/b%0a",), "is not an identity"),
        (("USBSHARE://a/b",), "is not an identity"),
        (("usbshare://a/" + "b" * 65,), "is not an identity"),
        (("usbshare://user@a/b",), "is not an identity"),
        (("usbshare://a:1/b",), "is not an identity"),
    ],
)
def test_identities_are_exactly_one_and_plain(
    forge: Forge, uris: tuple[str, ...], text: str
) -> None:
    problem = problem_with(forge, *uris)
    assert text in problem
    assert "\n" not in problem


@pytest.mark.parametrize("bits", [1024, 1536])
def test_a_small_rsa_key_is_weak(forge: Forge, bits: int) -> None:
    problem = read_shown(forge.sign(key=rsa_key(bits)).chain_pem).problem
    assert f"RSA key of {bits} bits; the minimum is 2048" in problem


def test_a_small_curve_is_weak(forge: Forge) -> None:
    problem = read_shown(forge.sign(key=curve_key(ec.SECP224R1())).chain_pem).problem
    assert "key of 224 bits" in problem


@pytest.mark.parametrize("key", [rsa_key(2048), curve_key(ec.SECP384R1())])
def test_other_strong_keys_will_do(forge: Forge, key: ec.EllipticCurvePrivateKey) -> None:
    assert read_shown(forge.sign(key=key).chain_pem).problem == ""


def test_a_certificate_must_be_for_clients(forge: Forge) -> None:
    for usage in (SERVER, None):
        assert "is not for clients" in read_shown(forge.sign(usage=usage).chain_pem).problem


def test_an_authority_does_not_call(forge: Forge) -> None:
    problem = read_shown(forge.sign(is_authority=True).chain_pem).problem
    assert "is an authority's certificate" in problem


@pytest.mark.parametrize(
    "pem", [b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_an_invalid_certificate_is_reported(pem: bytes) -> None:
    shown = read_shown(pem)
    assert shown.problem.startswith("cannot be read")
    assert shown.end < datetime.now(UTC)


def _folder(forge: Forge) -> Path:
    return forge.site.folder
