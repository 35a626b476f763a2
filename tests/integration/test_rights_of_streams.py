"""What ends a right ends the open streams that it was for, and no others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import grpc
import pyotp
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from fakes.every_rpc import CASES, CONTROL, OBSERVE, TIMEOUT_S, first_of, session, watch
from fakes.guarded_host import GuardedHost, guarded_host
from fakes.waiting import until
from usbshare.access.v1 import access_pb2 as access
from usbshare.access.v1.access_pb2_grpc import AccessServiceStub
from usbshare.authorization.second_factor import SecondFactors
from usbshare.base.errors import ConfirmationNeededError
from usbshare.camera.v1 import camera_pb2 as camera
from usbshare.camera.v1.camera_pb2_grpc import CameraServiceStub
from usbshare.discovery.v1 import discovery_pb2 as discovery
from usbshare.discovery.v1.discovery_pb2_grpc import DiscoveryServiceStub
from usbshare.rpc.status import error_from_rpc
from usbshare.serial.v1 import serial_pb2 as serial
from usbshare.serial.v1.serial_pb2_grpc import SerialServiceStub
from usbshare.trust.identities import registry_path, revoke

if TYPE_CHECKING:  # only the type stubs know it
    from usbshare.serial.v1.serial_pb2_grpc import SerialServiceAsyncStub

EVERYTHING = '[[grants]]\nwho = ["*"]\nrights = ["control", "admin"]\n'
NOTHING = '[[grants]]\nwho = ["nobody"]\nrights = ["view"]\n'
ANNOUNCEMENT = discovery.AnnounceRequest(
    endpoints=[discovery.Endpoint(kind=discovery.KIND_SERIAL, port=50051)]
)
OURS = {"port": "laser", "camera": "bed", "job": "1", "device": "0403:6001:A5", "": ""}


@dataclass(frozen=True)
class Stream:
    """A call that lasts."""

    service: str
    open: Callable[[grpc.aio.Channel], Any]
    first: Any = None


def _health(service: str) -> Stream:
    make: Any = health_pb2_grpc.HealthStub
    request = health_pb2.HealthCheckRequest()
    return Stream(service, lambda channel: make(channel).Watch(request))


def _serial(method: str, *request: Any, first: Any = None) -> Stream:
    return Stream("serial", lambda c: getattr(SerialServiceStub(c), method)(*request), first)


def _camera(method: str, *request: Any, first: Any = None) -> Stream:
    return Stream("camera", lambda c: getattr(CameraServiceStub(c), method)(*request), first)


def _discovery(method: str, first: Any) -> Stream:
    return Stream("discovery", lambda c: getattr(DiscoveryServiceStub(c), method)(), first)


STREAMS = {
    "WatchPorts": _serial("WatchPorts", serial.WatchPortsRequest()),
    "WatchStats": _serial("WatchStats", serial.WatchStatsRequest(port_id="laser")),
    "WatchMachine": _serial("WatchMachine", serial.WatchMachineRequest(port_id="laser")),
    "observe": _serial("Session", first=session(OBSERVE)("laser")),
    "control": _serial("Session", first=session(CONTROL)("laser")),
    "camera": _camera("Watch", first=watch("bed")),
    "camera stats": _camera("WatchStats", camera.WatchStatsRequest()),
    "instances": _discovery("Watch", discovery.WatchRequest()),
    "announcement": _discovery("Announce", ANNOUNCEMENT),
}
HEALTH = {f"health of {each}": _health(each) for each in ("serial", "camera", "discovery")}


@pytest.fixture
async def host(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GuardedHost]:
    async with guarded_host(tmp_path_factory.mktemp("host"), EVERYTHING) as running:
        yield running


async def begun(host: GuardedHost, stream: Stream, identity: str) -> Any:
    call = stream.open(host.channel(stream.service, identity))
    if stream.first is not None:
        await call.write(stream.first)
    assert await call.read() is not grpc.aio.EOF
    return call


async def end_of(call: Any) -> str:
    """Read until the stream is refused; returns the reason."""
    async with asyncio.timeout(TIMEOUT_S):
        with suppress(grpc.aio.AioRpcError):
            while await call.read() is not grpc.aio.EOF:
                pass
        assert await call.code() is grpc.StatusCode.PERMISSION_DENIED, await call.details()
        return str(await call.details())


async def until_left(*calls: Any) -> None:
    """Let streams go, and wait until that has reached the service."""
    for call in calls:
        call.cancel()
    await asyncio.sleep(0)


async def test_a_revocation_ends_every_stream_of_an_identity_and_no_other(
    host: GuardedHost,
) -> None:
    streams = STREAMS | HEALTH
    calls = {name: await begun(host, stream, "pc") for name, stream in streams.items()}
    shared = [stream for name, stream in streams.items() if name != "control"]
    bystanders = [await begun(host, stream, "other") for stream in shared]
    uri = f"usbshare://{host.site.id}/pc"
    revoke(registry_path(host.site.folder), uri, "stolen", datetime.now(UTC))
    for name, call in calls.items():
        assert "the certificate of pc is revoked" in await end_of(call), name
    for case in CASES:  # a service without a stream of it may read the registry a moment later
        async with asyncio.timeout(30):
            while "revoked" not in await case.refusal(host, "pc", OURS[case.kind]):
                pass  # each call takes its time
    assert not any(call.done() for call in bystanders)
    await until_left(*bystanders)


async def test_a_change_of_the_policy_ends_the_streams_that_it_does_not_allow(
    host: GuardedHost,
) -> None:
    calls = {name: await begun(host, stream, "pc") for name, stream in STREAMS.items()}
    health = [await begun(host, stream, "pc") for stream in HEALTH.values()]
    host.write_policy(NOTHING)
    for name, call in calls.items():
        assert "lacks the right to" in await end_of(call), name
    assert not any(call.done() for call in health), "health asks for no right"
    await until_left(*health)


async def test_a_controller_that_may_only_view_any_more_makes_way_at_once(
    host: GuardedHost,
) -> None:
    control = await begun(host, STREAMS["control"], "pc")
    observer = await begun(host, STREAMS["observe"], "pc")
    host.write_policy(
        '[[grants]]\nwho = ["pc"]\nrights = ["view"]\n'
        '[[grants]]\nwho = ["other"]\nrights = ["control"]\n'
    )
    assert "lacks the right to control" in await end_of(control)
    taken = await begun(host, STREAMS["control"], "other")
    holder = host.ports.get("laser").roster.holder
    assert holder is not None
    assert holder.identity == f"usbshare://{host.site.id}/other"
    assert not observer.done()
    await until_left(observer, taken)


async def test_a_grant_that_expires_ends_its_streams(host: GuardedHost) -> None:
    until_moment = datetime.now(UTC).timestamp() + 2
    end = datetime.fromtimestamp(until_moment, UTC).isoformat()
    host.write_policy(f'[[grants]]\nwho = ["pc"]\nrights = ["view"]\nuntil = {end}\n')
    call = await begun(host, STREAMS["observe"], "pc")
    assert "which it has only until" in await end_of(call)


async def test_a_watch_of_ports_follows_what_one_may_view(host: GuardedHost) -> None:
    stub = SerialServiceStub(host.channel("serial", "pc"))
    call: Any = stub.WatchPorts(serial.WatchPortsRequest())
    assert {(await call.read()).port.id for _ in range(2)} == {"laser", "mill"}
    host.write_policy('[[grants]]\nwho = ["pc"]\nrights = ["view"]\nports = ["laser"]\n')
    gone = await call.read()
    assert (gone.port.id, gone.change) == ("mill", serial.PORT_CHANGE_REMOVED)
    host.write_policy(EVERYTHING)
    back = await call.read()
    assert (back.port.id, back.change) == ("mill", serial.PORT_CHANGE_ADDED)
    await until_left(call)


async def test_a_policy_with_mistakes_ends_nothing(
    host: GuardedHost, caplog: pytest.LogCaptureFixture
) -> None:
    calls = {name: await begun(host, stream, "pc") for name, stream in STREAMS.items()}
    host.write_policy("[[grants]]\nwho = 3")
    await until(lambda: caplog.text.count("keeping the previous policy") == len(host.guards))
    assert not any(call.done() for call in calls.values())
    await until_left(*calls.values())


async def test_refusals_are_noted_for_the_administrator(host: GuardedHost) -> None:
    call = await begun(host, STREAMS["control"], "pc")
    host.write_policy(NOTHING)
    await end_of(call)
    log = host.site.folder / "state" / "audit" / "serial-svc.jsonl"
    await until(lambda: log.exists() and '"refused"' in log.read_text(encoding="utf-8"))
    line = next(each for each in log.read_text().splitlines() if '"refused"' in each)
    assert f'"who":"usbshare://{host.site.id}/pc"' in line
    assert '"port":"laser"' in line


async def test_a_revoked_identity_is_named_in_the_log(
    host: GuardedHost, caplog: pytest.LogCaptureFixture
) -> None:
    call = await begun(host, STREAMS["observe"], "pc")
    uri = f"usbshare://{host.site.id}/pc"
    revoke(registry_path(host.site.folder), uri, "stolen", datetime.now(UTC))
    await end_of(call)
    caplog.clear()
    assert "revoked" in await CASES[0].refusal(host, "pc")
    assert f"refused WhoAmI of {uri}" in caplog.text


async def test_a_session_is_resumed_without_another_code_and_none_is_begun(
    host: GuardedHost,
) -> None:
    host.write_policy(
        '[[grants]]\nwho = ["pc"]\nrights = ["control"]\nconfirm = "totp"\nconfirm_for = "1s"\n'
    )
    stub = SerialServiceStub(host.channel("serial", "pc"))
    app = second_factor(host, "pc")
    await until_code_is_needed(stub)
    await confirm(host, "pc", app)
    lost: Any = stub.Session()
    await lost.write(session(CONTROL)("laser"))
    opened = (await lost.read()).opened
    lost.cancel()
    await until_code_is_needed(stub)
    with pytest.raises(grpc.aio.AioRpcError, match="needs a code"):
        await first_of(stub.Session(), session(CONTROL)("laser"))
    again = session(CONTROL)("laser")
    again.open.resume_token = opened.resume_token
    again.open.resume_offset = opened.data_offset
    assert (await first_of(stub.Session(), again)).opened.resumed


async def until_code_is_needed(stub: SerialServiceAsyncStub) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            try:
                await stub.Rearm(serial.RearmRequest(port_id="laser", epoch=1), timeout=TIMEOUT_S)
            except grpc.aio.AioRpcError as error:
                if isinstance(error_from_rpc(error), ConfirmationNeededError):
                    return
            await asyncio.sleep(0.05)  # of what ends by time alone nobody is told


def second_factor(host: GuardedHost, name: str) -> pyotp.TOTP:
    factors = SecondFactors(host.site.home / "totp.json", time.monotonic)
    app = pyotp.parse_uri(factors.make(f"usbshare://{host.site.id}/{name}"))
    assert isinstance(app, pyotp.TOTP)
    return app


async def confirm(host: GuardedHost, name: str, app: pyotp.TOTP) -> None:
    stub = AccessServiceStub(host.channel("serial", name))
    await stub.Confirm(access.ConfirmRequest(code=app.now()), timeout=TIMEOUT_S)
