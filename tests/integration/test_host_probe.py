"""One look at one host, over real connections."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fakes.certificates import make_site, serving
from usbshare.hosts.instance import Endpoint, Instance, Kind
from usbshare.hosts.via import health_probe
from usbshare.hosts.via.health_probe import HostProbe
from usbshare.rpc.tls import ClientBundle
from usbshare.trust.site import Site

FOREIGN = "cd" * 32


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return make_site(tmp_path)


@pytest.fixture
async def probe(site: Site) -> AsyncIterator[HostProbe]:
    made = HostProbe(ClientBundle.load(site.client_bundle))
    yield made
    await made.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_probe, "PROBE_TIMEOUT_S", 0.3)


@pytest.fixture
def mute() -> Iterator[int]:
    """Accept connections, as a frozen program's kernel does, and say nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def nobody() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def host(site: Site | None, **ports: int) -> Instance:
    endpoints = tuple(Endpoint(Kind(kind), port) for kind, port in ports.items())
    fingerprint = site.fingerprint if site else FOREIGN
    return Instance("laser", ("127.0.0.1",), endpoints, site=fingerprint)


class Counted:
    """A way to a port on which connections are counted; it can be cut."""

    def __init__(self, behind: int) -> None:
        self.connections = 0
        self.port = 0
        self._behind = behind
        self._writers: list[asyncio.StreamWriter] = []

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._behind)
        self._writers += [writer, far_writer]
        await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
    except ConnectionError:
        pass
    finally:
        writer.close()


@asynccontextmanager
async def counted(behind: int) -> AsyncIterator[Counted]:
    way = Counted(behind)
    server = await asyncio.start_server(way.take, "127.0.0.1", 0)
    way.port = server.sockets[0].getsockname()[1]
    try:
        yield way
    finally:
        way.cut()
        server.close()
        await server.wait_closed()


async def test_a_host_of_the_own_site_is_asked_over_one_kept_connection(
    site: Site, probe: HostProbe
) -> None:
    async with serving(site) as port, counted(port) as way:
        instance = host(site, serial=way.port)
        for _ in range(5):
            assert await probe.answers(instance)
        assert way.connections == 2  # a knock, and what is kept
        way.cut()
        assert await probe.answers(instance)
        assert way.connections > 2


async def test_if_nothing_listens_the_host_is_dead(site: Site, probe: HostProbe) -> None:
    assert not await probe.answers(host(site, serial=nobody(), discovery=nobody()))
    assert not await probe.answers(host(None, serial=nobody()))
    assert not await probe.answers(host(site))


async def test_a_host_that_ends_is_dead(site: Site, probe: HostProbe) -> None:
    async with serving(site) as port:
        instance = host(site, serial=port)
        assert await probe.answers(instance)
    assert not await probe.answers(instance)


@pytest.mark.usefixtures("impatient")
async def test_a_frozen_host_of_the_own_site_is_dead(
    site: Site, probe: HostProbe, mute: int
) -> None:
    assert not await probe.answers(host(site, serial=mute))


async def test_a_foreign_host_is_only_connected_to(probe: HostProbe, mute: int) -> None:
    assert await probe.answers(host(None, serial=mute))


async def test_a_host_that_refuses_our_certificate_is_there(
    tmp_path: Path, site: Site, probe: HostProbe
) -> None:
    async with serving(make_site(tmp_path / "other")) as port, counted(port) as way:
        liar = host(site, serial=way.port)
        assert await probe.answers(liar)
        seen = way.connections
        assert await probe.answers(liar)
        assert way.connections == seen + 1  # no second handshake in vain


async def test_without_a_certificate_hosts_are_only_connected_to(site: Site, mute: int) -> None:
    assert await HostProbe(None).answers(host(site, serial=mute))


@pytest.mark.usefixtures("impatient")
async def test_a_plaintext_host_on_loopback_is_asked(mute: int) -> None:
    probe = HostProbe(None)
    async with serving(None) as port:
        plain = Instance("x", ("127.0.0.1",), (Endpoint(Kind.SERIAL, port),), tls=False)
        assert await probe.answers(plain)
    frozen = Instance("x", ("127.0.0.1",), (Endpoint(Kind.SERIAL, mute),), tls=False)
    assert not await probe.answers(frozen)
    await probe.close()


async def test_any_of_its_services_may_answer(site: Site, probe: HostProbe) -> None:
    async with serving(site) as port:
        assert await probe.answers(host(site, discovery=nobody(), serial=port))
        assert not await probe.answers(host(site, discovery=nobody(), serial=port), attempts=1)


async def test_any_of_its_addresses_may_answer(site: Site, probe: HostProbe) -> None:
    async with serving(site) as port:
        addresses = ("127.0.0.9", "::1", "127.0.0.1", "fe80::9%nowhere")
        endpoints = (Endpoint(Kind.SERIAL, port),)
        assert await probe.answers(Instance("x", addresses, endpoints, site=site.fingerprint))


async def test_a_host_that_moved_is_asked_where_it_is_now(site: Site, probe: HostProbe) -> None:
    async with serving(site) as first:
        assert await probe.answers(host(site, serial=first))
        async with serving(site) as second, counted(second) as way:
            assert await probe.answers(host(site, serial=way.port))
            assert way.connections == 2
