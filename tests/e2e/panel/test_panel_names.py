"""One host under two names: its configured address, and what discovery calls it."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from fakes.job_host import JobHost, job_host
from fakes.panel import page_at
from fakes.processes import Process, free_port, run
from usbshare.base.threads import in_thread
from usbshare.hosts.counters import SourceCounters
from usbshare.hosts.instance import Endpoint, Instance, Kind
from usbshare.hosts.interfaces import interfaces_up
from usbshare.hosts.settings import DiscoveryTable
from usbshare.hosts.sources.beacon import BeaconPublisher
from usbshare.rpc.tls import ClientBundle

NAME = "Workshop"
ADDRESS = "localhost"


@asynccontextmanager
async def announced(host: JobHost, port: int) -> AsyncIterator[None]:
    """Have a beacon tell of a host, from 127.0.0.1."""
    site = ClientBundle.load(Path(host.environment["USBSHARE_HOME"]) / "client.pem").site
    table = DiscoveryTable(beacon_port=port, beacon_interval_s=0.5)
    publisher = BeaconPublisher(SourceCounters(time.monotonic), table)
    await publisher.start()
    try:
        publisher.announce(
            Instance(NAME, (), (Endpoint(Kind.SERIAL, host.serial_port),), site=site)
        )
        yield
    finally:
        await publisher.close()


async def test_a_configured_address_and_its_announced_name_are_one_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USBSHARE_DISCOVERY_INTERFACES", "127.0.0.1")
    if not interfaces_up(["127.0.0.1"]):
        pytest.skip("loopback carries no multicast here")
    port = free_port(socket.SOCK_DGRAM)
    async with job_host(tmp_path) as host:
        target = f"{ADDRESS}:{host.serial_port}"
        config = tmp_path / "pc.toml"
        config.write_text(
            f"[discovery]\nmdns = false\nbeacon_port = {port}\nbeacon_interval_s = 0.5\n"
            f'[bridge]\ntarget = "{target}"\nremember = false\n'
        )
        bridge = ["usbshare-bridge", "--config", str(config)]
        panel = Process([*bridge, "panel", "--json", "--listen", "127.0.0.1:0"], host.environment)
        try:
            url = str(json.loads(panel.wait_for('"ready"').string)["url"]).rstrip("/")
            async with aiohttp.ClientSession() as http, page_at(http, url) as page:
                await page.until(lambda: (target, "laser") in page.machines)
                async with announced(host, port):
                    await page.until(lambda: any(is_both(each) for each in page.hosts.values()))
                    await page.until(lambda: len(page.hosts) == 1)
                    assert list(page.machines) == [(target, "laser")]
                    code, listed = await in_thread(run, [*bridge, "list", "--json"], tmp_path)
            assert code == 0, listed
            assert listed.count('"laser"') == 1, listed
        finally:
            panel.stop()


def is_both(host: dict[str, object]) -> bool:
    """Return whether a host is known under both names."""
    sources = {"SOURCE_BEACON", "SOURCE_STATIC"}
    return host["name"] == NAME and set(host["sources"]) == sources  # type: ignore[call-overload]
