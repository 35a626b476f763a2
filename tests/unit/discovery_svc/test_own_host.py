"""Who may announce: programs of this computer, at whichever of its addresses they come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from usbshare.base.errors import PermissionDeniedError
from usbshare.discovery_svc import own_host
from usbshare.discovery_svc.own_host import require_own_host


@dataclass
class Ip:
    ip: str | tuple[str, int, int]


@dataclass
class Adapter:
    ips: Sequence[Ip]


@pytest.fixture(autouse=True)
def host(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have two addresses beside loopback."""
    adapters = [Adapter([Ip("192.0.2.1"), Ip(("fe80::1", 0, 2))])]
    monkeypatch.setattr("ifaddr.get_adapters", lambda: adapters)


@pytest.mark.parametrize(
    "peer",
    [
        "127.0.0.1:4000",
        "127.9.9.9:4000",
        "[::1]:4000",
        "[::ffff:127.0.0.1]:4000",
        "192.0.2.1:4000",
        "[::ffff:192.0.2.1]:4000",
        "[fe80::1%eth0]:4000",
    ],
)
def test_a_program_of_this_host_may(peer: str) -> None:
    require_own_host(peer)


@pytest.mark.parametrize(
    "peer",
    ["192.0.2.2:4000", "[::ffff:192.0.2.2]:4000", "[fd00::1]:4000", "[fe80::2%eth0]:4000", "", "x"],
)
def test_anybody_else_may_not(peer: str) -> None:
    with pytest.raises(PermissionDeniedError, match="only programs on this computer"):
        require_own_host(peer)


def test_the_addresses_of_this_host_are_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert any(str(each).startswith("127.") for each in own_host._own_addresses())
