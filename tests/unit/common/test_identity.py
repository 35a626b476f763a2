"""Who a caller is, from what gRPC knows of its connection."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import pytest

from usbshare.common.errors import PermissionDeniedError
from usbshare.common.identity import Identity, peer_identity

URI = b"usbshare://0123456789ab/operator"


@dataclass(frozen=True, slots=True)
class FakeContext:
    """The part of a servicer's context that tells who calls."""

    auth: Mapping[str, Iterable[bytes]]
    address: str = "ipv4:192.0.2.7:1234"

    def auth_context(self) -> Mapping[str, Iterable[bytes]]:
        return self.auth

    def peer(self) -> str:
        return self.address


def identity_of(auth: Mapping[str, Iterable[bytes]]) -> Identity:
    return peer_identity(cast("Any", FakeContext({"transport_security_type": [b"ssl"], **auth})))


def test_the_usbshare_uri_wins() -> None:
    auth = {"peer_uri": [b"https://example.org/", URI], "x509_common_name": [b"somebody"]}
    identity = identity_of(auth)
    assert identity == Identity("usbshare://0123456789ab/operator", "192.0.2.7:1234")


def test_a_common_name_will_do() -> None:
    assert identity_of({"x509_common_name": [b"bench-3"]}).name == "bench-3"


def test_nobody_is_refused() -> None:
    with pytest.raises(PermissionDeniedError, match="neither a usbshare URI nor a name"):
        identity_of({"x509_common_name": [b" "]})


def test_a_uri_without_tls_is_not_believed() -> None:
    context = FakeContext({"transport_security_type": [b"insecure"], "peer_uri": [URI]})
    assert peer_identity(cast("Any", context)).name == "insecure"


def test_an_ipv6_address_is_readable() -> None:
    context = FakeContext({}, "ipv6:%5Bfd00::7%5D:1234")
    assert peer_identity(cast("Any", context)).address == "[fd00::7]:1234"
