"""Who of several addresses is a host of our site: real servers, real certificates."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fakes.certificates import CLIENT, SERVER, Issued, issue, make_site, serving, write_site
from fakes.certificates import write_bundle as write
from fakes.network import Network
from usbshare.hosts.identity_proof import first_proven
from usbshare.rpc.channel import Target
from usbshare.rpc.tls import ClientBundle
from usbshare.trust.site import Site

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture
def ca() -> Issued:
    return issue(name="ca")


@pytest.fixture
def bundle(tmp_path: Path, ca: Issued) -> ClientBundle:
    client = issue(ca, usage=CLIENT)
    return ClientBundle.load(write(tmp_path / "client.pem", client, ca))


def site_of(folder: Path, ca: Issued, *names: str) -> Site:
    return write_site(folder, ca, issue(ca, names=names, usage=SERVER))


@pytest.fixture
async def laser(tmp_path: Path, ca: Issued) -> AsyncIterator[int]:
    names = ("localhost", "laser", "laser.local", "192.0.2.20", "127.0.0.1")
    async with serving(site_of(tmp_path / "laser", ca, *names)) as port:
        yield port


async def test_a_host_of_our_site_is_called_what_its_certificate_calls_it(
    laser: int, bundle: ClientBundle
) -> None:
    found = await first_proven([Target("127.0.0.1", laser, name="Laser")], bundle)
    assert found == Target("127.0.0.1", laser, "laser.local")
    assert found.name == "Laser"


async def test_where_the_certificate_has_no_own_name_an_address_does(
    tmp_path: Path, ca: Issued, bundle: ClientBundle
) -> None:
    site = site_of(tmp_path / "x", ca, "localhost", "127.0.0.1", "fd00::7")
    async with serving(site) as port:
        found = await first_proven([Target("127.0.0.1", port)], bundle)
    assert found == Target("127.0.0.1", port, "fd00::7")


async def test_a_host_whose_name_is_known_must_have_it(laser: int, bundle: ClientBundle) -> None:
    assert await first_proven([Target("127.0.0.1", laser, "laser")], bundle)
    assert await first_proven([Target("127.0.0.1", laser, "mill.local")], bundle) is None


async def test_a_host_of_another_site_proves_nothing(
    tmp_path: Path, laser: int, bundle: ClientBundle
) -> None:
    async with serving(make_site(tmp_path / "foreign")) as foreign:
        targets = [Target("127.0.0.1", foreign), Target("127.0.0.1", laser)]
        found = await first_proven(targets, bundle)
        assert found is not None
        assert found.port == laser
        assert await first_proven(targets[:1], bundle) is None


async def test_a_clients_certificate_proves_no_host(
    tmp_path: Path, ca: Issued, bundle: ClientBundle
) -> None:
    pretender = issue(ca, names=["laser.local", "127.0.0.1"], usage=CLIENT)
    async with serving(write_site(tmp_path / "x", ca, pretender)) as port:
        assert await first_proven([Target("127.0.0.1", port)], bundle) is None


async def test_a_silent_host_is_not_waited_for(laser: int, bundle: ClientBundle) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        targets = [Target("127.0.0.1", port) for port in (silent.getsockname()[1], laser)]
        assert await first_proven(targets, bundle, timeout_s=60)
        assert await first_proven(targets[:1], bundle, timeout_s=0.2) is None


@pytest.mark.parametrize("round_trip_s", [0.6, 1.2])
async def test_a_host_that_is_far_away_proves_itself(
    laser: int, bundle: ClientBundle, round_trip_s: float
) -> None:
    network = Network(f"127.0.0.1:{laser}")
    await network.start()
    network.up.delay_s = network.down.delay_s = round_trip_s / 2
    try:
        port = int(network.target.rpartition(":")[2])
        assert await first_proven([Target("127.0.0.1", port)], bundle)
    finally:
        await network.close()


async def test_nothing_is_proved_where_nothing_listens(bundle: ClientBundle) -> None:
    assert await first_proven([], bundle) is None
