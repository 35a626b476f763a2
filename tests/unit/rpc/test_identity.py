"""Who a caller is, from what gRPC knows of its connection."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from fakes.certificates import make_site
from fakes.forged import Forge, Signed
from usbshare.base.errors import PermissionDeniedError
from usbshare.rpc.identity import Identity, peer_identity
from usbshare.trust.certificates import BACKDATE, short_fingerprint


@dataclass(frozen=True, slots=True)
class FakeContext:
    """The part of a servicer's context that tells who calls."""

    auth: Mapping[str, Iterable[bytes]] = field(default_factory=dict)
    address: str = "ipv4:192.0.2.7:1234"

    def auth_context(self) -> Mapping[str, Iterable[bytes]]:
        return self.auth

    def peer(self) -> str:
        return self.address


@pytest.fixture(scope="module")
def forge(tmp_path_factory: pytest.TempPathFactory) -> Forge:
    return Forge(make_site(tmp_path_factory.mktemp("host")))


def context_of(client: Signed) -> Any:
    auth = {"transport_security_type": [b"ssl"], "x509_pem_cert": [client.chain_pem]}
    return cast("Any", FakeContext(auth))


def test_a_caller_is_who_its_certificate_names(forge: Forge) -> None:
    client = forge.sign()
    assert peer_identity(context_of(client), forge.site.id) == Identity(
        name=forge.uri,
        address="192.0.2.7:1234",
        issued=client.certificate.not_valid_before_utc + BACKDATE,
        expires=client.certificate.not_valid_after_utc,
        serial=client.certificate.serial_number,
        fingerprint=short_fingerprint(client.certificate.public_key()),
    )


def test_a_common_name_is_no_identity(forge: Forge) -> None:
    with pytest.raises(
        PermissionDeniedError, match="client certificate carries no usbshare identity"
    ):
        peer_identity(context_of(forge.sign(uris=[], name="operator")))


def test_an_identity_of_another_site_is_refused_where_the_site_is_known(forge: Forge) -> None:
    context = context_of(forge.sign(uris=["usbshare://elsewhere/operator"]))
    with pytest.raises(PermissionDeniedError, match="does not belong to this site"):
        peer_identity(context, forge.site.id)
    assert peer_identity(context).name == "usbshare://elsewhere/operator"


def test_a_certificate_ends_while_its_connection_lasts(forge: Forge) -> None:
    context = context_of(forge.sign(ends=timedelta(hours=1)))
    peer_identity(context, forge.site.id)
    later = datetime.now(UTC) + timedelta(hours=2)
    with pytest.raises(PermissionDeniedError, match="client certificate expired on 20"):
        peer_identity(context, forge.site.id, later)


def test_tls_without_a_certificate_has_no_identity() -> None:
    with pytest.raises(PermissionDeniedError, match="cannot be read"):
        peer_identity(cast("Any", FakeContext({"transport_security_type": [b"ssl"]})))


def test_a_certificate_without_tls_is_not_believed(forge: Forge) -> None:
    auth = {"transport_security_type": [b"insecure"], "x509_pem_cert": [forge.sign().chain_pem]}
    assert peer_identity(cast("Any", FakeContext(auth))).name == "insecure"


def test_an_ipv6_address_is_readable() -> None:
    context = FakeContext({}, "ipv6:%5Bfd00::7%5D:1234")
    assert peer_identity(cast("Any", context)).address == "[fd00::7]:1234"
