"""Where a host's job or USB service is: as its discovery service announces, else as usual."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from fakes.certificates import make_site
from fakes.discovery_served import Served, serving
from fakes.job_host import job_host
from fakes.processes import Process, free_port
from fakes.waiting import until
from usbshare.client.jobs.place import job_place
from usbshare.client.status.host_watch import look_once
from usbshare.client.usb.place import usb_place
from usbshare.discovery_svc.registrations import Offer
from usbshare.hosts.instance import USUAL_PORTS, Endpoint, Kind
from usbshare.rpc.channel import Target
from usbshare.rpc.tls import ClientBundle
from usbshare.trust.site import Site

SERIAL = Target("127.0.0.1", 50051, name="laser")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return make_site(tmp_path)


@pytest.fixture
async def served(site: Site) -> AsyncIterator[Served]:
    async with serving(site) as made:
        yield made


Place = Callable[..., Awaitable[Target]]


@pytest.fixture(params=[(job_place, Kind.JOB), (usb_place, Kind.USB)], ids=["job", "usb"])
def asked(request: pytest.FixtureRequest) -> tuple[Place, Kind]:
    found: tuple[Place, Kind] = request.param
    return found


async def found_by(served: Served, place: Place) -> Target:
    bundle = ClientBundle.load(served.site.client_bundle)
    return await place(SERIAL, bundle, served.target.port)


async def test_the_announced_port_is_taken(served: Served, asked: tuple[Place, Kind]) -> None:
    place, kind = asked
    served.registrations.take("a-svc", Offer((Endpoint(kind, 51055),)), 30.0)
    await until(lambda: served.own.port_of(kind) == 51055)
    assert await found_by(served, place) == Target("127.0.0.1", 51055, name="laser")


async def test_the_service_of_another_host_is_not_used(
    served: Served, asked: tuple[Place, Kind]
) -> None:
    place, kind = asked
    served.observe("mill", endpoints=(Endpoint(kind, 51055),))
    assert (await found_by(served, place)).port == USUAL_PORTS[kind]


async def test_a_host_that_announces_none_has_it_at_the_usual_port(
    served: Served, asked: tuple[Place, Kind]
) -> None:
    place, kind = asked
    assert (await found_by(served, place)).port == USUAL_PORTS[kind]


async def test_without_a_discovery_service_it_is_the_usual_port(
    site: Site, asked: tuple[Place, Kind]
) -> None:
    place, kind = asked
    bundle = ClientBundle.load(site.client_bundle)
    assert (await place(SERIAL, bundle, free_port())).port == USUAL_PORTS[kind]


async def test_a_discovery_service_that_says_nothing_is_not_waited_for(
    site: Site, asked: tuple[Place, Kind]
) -> None:
    place, kind = asked
    left = asyncio.Event()

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while await reader.read(4096):
                pass
        writer.close()
        left.set()

    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with asyncio.timeout(30):
        found = await place(SERIAL, ClientBundle.load(site.client_bundle), port)
        server.close()
        await left.wait()
    assert found.port == USUAL_PORTS[kind]


async def test_job_svc_is_announced_and_found(tmp_path: Path) -> None:
    port = free_port()
    table = f'[discovery]\nlisten = "127.0.0.1:{port}"\ninterfaces = ["127.0.0.1"]\n'
    async with job_host(tmp_path, more=f"{table}mdns = false\nbeacon = false\n") as host:
        words = ["discovery-svc", "--config", str(tmp_path / "usbshare.toml")]
        discovery = Process(words, host.environment)
        try:
            discovery.wait_for("discovery-svc ready at")
            assert host.job is not None
            host.job.wait_for("announced as")
            bundle = ClientBundle.load(tmp_path / "config" / "usbshare" / "client.pem")
            serial = Target("127.0.0.1", host.serial_port)
            assert (await job_place(serial, bundle, port)).port == host.job_port
        finally:
            discovery.stop()
        status = await look_once("laser", serial, bundle, 30.0, host.job_port)
        assert [each.jobs for each in status.ports] == [()]
