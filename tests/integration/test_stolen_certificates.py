"""Of two who hold one file, one renews it, and the other is found out; a stop is never refused."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from fakes.every_rpc import TIMEOUT_S
from fakes.guarded_host import GuardedHost, guarded_host
from fakes.waiting import until
from usbshare.access.v1 import access_pb2 as access
from usbshare.access.v1.access_pb2_grpc import AccessServiceStub
from usbshare.base.errors import PermissionDeniedError
from usbshare.base.paths import write_private
from usbshare.bridge.enrolment.automatic_renewal import renew
from usbshare.enrolment.identity_report import roll_call
from usbshare.rpc.channel import open_channel
from usbshare.rpc.tls import ClientBundle
from usbshare.serial.v1 import serial_pb2 as serial
from usbshare.serial.v1.serial_pb2_grpc import SerialServiceStub
from usbshare.trust import certificates, identities, successors
from usbshare.trust.authorities import load_authorities
from usbshare.trust.identities import registry_path
from usbshare.trust.site import Site

EVERYTHING = '[[grants]]\nwho = ["*"]\nrights = ["control", "admin"]\n'


@pytest.fixture
async def host(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[GuardedHost]:
    monkeypatch.setattr(successors, "GRACE", timedelta(0))
    async with guarded_host(tmp_path_factory.mktemp("host"), EVERYTHING) as running:
        yield running


def due(site: Site, path: Path, *, days_ago: float = 70) -> ClientBundle:
    """Write and return a certificate of `pc` that was issued so long ago."""
    key, uri = certificates.new_key(), f"usbshare://{site.id}/pc"
    issued_at = datetime.now(UTC) - timedelta(days=days_ago)
    authorities = load_authorities(site.home, datetime.now(UTC))
    issued = certificates.issue_client(authorities.clients, key, uri, issued_at)
    identities.note_issued(registry_path(site.folder), uri, issued)
    pem = certificates.key_pem(key) + certificates.certificate_pem(issued) + authorities.pem
    write_private(path, pem)
    return ClientBundle.load(path)


async def who_am_i(host: GuardedHost, bundle: ClientBundle) -> str:
    """Return the identity, or why it is refused."""
    async with open_channel(host.targets["serial"], bundle) as channel:
        stub = AccessServiceStub(channel)
        call = stub.WhoAmI(access.WhoAmIRequest(), timeout=TIMEOUT_S)
        if await call.code() is grpc.StatusCode.PERMISSION_DENIED:
            return str(await call.details())
        return (await call).identity


async def until_void(host: GuardedHost, bundle: ClientBundle) -> None:
    book, serial_number = host.guards["serial-svc"].rulebook, bundle.certificate.serial_number
    await until(lambda: book.is_void(serial_number, datetime.now(UTC)))


async def test_a_copy_of_a_file_that_was_renewed_is_refused_with_an_alarm_and_may_stop(
    host: GuardedHost, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stolen = due(host.site, tmp_path / "pc.pem")
    async with open_channel(host.targets["serial"], stolen) as channel:
        stub: Any = SerialServiceStub(channel)
        watching = stub.WatchPorts(serial.WatchPortsRequest())
        assert await watching.read() is not grpc.aio.EOF
        renewed = await renew(host.targets["serial"], stolen)
        await until_void(host, stolen)
        assert "/pc" in await who_am_i(host, renewed)
        told = await who_am_i(host, stolen)
        assert "its file was copied: tell the host's operator" in told
        request = serial.StopRequest(port_id="laser", action=serial.STOP_ACTION_HOLD)
        await stub.Stop(request, timeout=TIMEOUT_S)
        with pytest.raises(grpc.aio.AioRpcError, match="no longer valid"):
            await stub.ListPorts(serial.ListPortsRequest(), timeout=TIMEOUT_S)
        assert not watching.done()  # what was begun with it ends by itself
        watching.cancel()
    with pytest.raises(PermissionDeniedError, match="no longer valid"):
        await renew(host.targets["serial"], copy_of(stolen, tmp_path / "copy.pem"))
    assert caplog.text.count("ALARM") == 1
    registry = CollectorRegistry()
    for collector in host.guards["serial-svc"].collectors():
        registry.register(collector)
    assert "usbshare_void_certificate_uses_total 4.0" in generate_latest(registry).decode()
    await until(lambda: "ALARM" in state_of(host))
    assert "from 127.0.0.1" in state_of(host)


async def test_a_thief_who_renews_first_locks_the_owner_out_and_is_detected(
    host: GuardedHost, tmp_path: Path
) -> None:
    owners = due(host.site, tmp_path / "pc.pem")
    await renew(host.targets["serial"], copy_of(owners, tmp_path / "copy.pem"))
    await until_void(host, owners)
    assert "its file was copied" in await who_am_i(host, owners)
    await until(lambda: "ALARM" in state_of(host))


async def test_a_stolen_key_is_not_renewed_before_its_time(
    host: GuardedHost, tmp_path: Path
) -> None:
    fresh = due(host.site, tmp_path / "pc.pem", days_ago=1)
    with pytest.raises(PermissionDeniedError, match="not due for renewal"):
        await renew(host.targets["serial"], fresh)


def copy_of(bundle: ClientBundle, path: Path) -> ClientBundle:
    write_private(path, bundle.key + bundle.chain + bundle.authorities)
    return ClientBundle.load(path)


def state_of(host: GuardedHost) -> str:
    site = host.site
    entries = roll_call(site.folder, site.folder / "state", site.id, datetime.now(UTC))
    return next(each.state for each in entries if each.name == "pc")
