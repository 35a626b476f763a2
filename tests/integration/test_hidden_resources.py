"""What one may not view does not exist: no text, empty id, count or list tells of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from fakes.every_rpc import CASES, CONTROL, OBSERVE, TIMEOUT_S, Case, session, watch
from fakes.guarded_host import GuardedHost, guarded_host
from fakes.waiting import until
from usbshare.camera.v1 import camera_pb2 as camera
from usbshare.camera.v1.camera_pb2_grpc import CameraServiceStub
from usbshare.discovery.v1 import discovery_pb2 as discovery
from usbshare.discovery.v1.discovery_pb2_grpc import DiscoveryServiceStub
from usbshare.job.v1 import job_pb2 as job
from usbshare.serial.v1 import serial_pb2 as serial
from usbshare.serial.v1.serial_pb2_grpc import SerialServiceStub
from usbshare.usb.v1 import usb_pb2 as usb

HOLD = serial.STOP_ACTION_HOLD
POLICY = """
[[grants]]
who = ["admin"]
rights = ["control"]
[[grants]]
who = ["one"]
rights = ["control"]
ports = ["laser"]
cameras = ["bed"]
[[grants]]
who = ["stopper"]
rights = ["stop"]
ports = ["mill"]
[[grants]]
who = ["some"]
rights = ["view"]
ports = ["l*", "x*"]
cameras = ["b*", "x*"]
"""


@pytest.fixture
async def host(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GuardedHost]:
    async with guarded_host(tmp_path_factory.mktemp("host"), POLICY) as running:
        yield running


@pytest.fixture(scope="module")
async def refusing_host(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GuardedHost]:
    """Run one host for tests that it refuses everything."""
    async with guarded_host(tmp_path_factory.mktemp("refusing"), POLICY) as running:
        yield running


def serial_of(host: GuardedHost, name: str) -> Any:
    return SerialServiceStub(host.channel("serial", name))


def camera_of(host: GuardedHost, name: str) -> Any:
    return CameraServiceStub(host.channel("camera", name))


async def said(call: Any) -> tuple[grpc.StatusCode, str]:
    return await call.code(), str(await call.details())


async def first_of(call: Any, request: Any) -> Any:
    """Return the first answer of a stream, or what it failed with."""
    await call.write(request)
    async with asyncio.timeout(TIMEOUT_S):
        try:
            answer = await call.read()
        except grpc.aio.AioRpcError:
            answer = grpc.aio.EOF
        if answer is grpc.aio.EOF:
            return await said(call)
    call.cancel()
    return answer


async def test_an_empty_id_means_the_only_one_that_the_caller_knows_of(host: GuardedHost) -> None:
    one = serial_of(host, "one")
    reply = await one.GetPort(serial.GetPortRequest(), timeout=TIMEOUT_S)
    assert reply.port.id == "laser"
    await one.Stop(serial.StopRequest(action=HOLD), timeout=TIMEOUT_S)
    assert (await first_of(one.Session(), session(CONTROL)(""))).opened.port.id == "laser"
    answer = await first_of(camera_of(host, "one").Watch(), watch(""))
    assert isinstance(answer, camera.WatchResponse)
    await serial_of(host, "stopper").Stop(serial.StopRequest(action=HOLD), timeout=TIMEOUT_S)


async def test_a_viewer_of_several_ports_is_told_only_of_those(host: GuardedHost) -> None:
    code, text = await said(
        serial_of(host, "admin").GetPort(serial.GetPortRequest(), timeout=TIMEOUT_S)
    )
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert text.endswith(": laser, mill")


@pytest.mark.parametrize("port", ["x", "lathe"])
async def test_an_error_about_a_missing_port_names_no_hidden_one(
    host: GuardedHost, port: str
) -> None:
    some = serial_of(host, "some")
    missing = await said(some.GetPort(serial.GetPortRequest(port_id=port), timeout=TIMEOUT_S))
    assert missing == (grpc.StatusCode.NOT_FOUND, f"no port '{port}' here; available: laser")
    assert await first_of(some.Session(), session(OBSERVE)(port)) == missing
    request = camera.GetControlsRequest(camera_id="x")
    missing = await said(camera_of(host, "some").GetControls(request, timeout=TIMEOUT_S))
    assert missing == (grpc.StatusCode.NOT_FOUND, "no camera 'x' here; available: bed")
    assert await first_of(camera_of(host, "some").Watch(), watch("x")) == missing


def names_one(method: Any) -> bool:
    """Return whether a request, or what opens a stream, names a port or a camera."""
    request = method.input_type.fields_by_name
    opening = request["open"].message_type.fields_by_name if "open" in request else {}
    return bool({"port_id", "camera_id", "job_id", "device_id"} & {*request, *opening})


def test_every_rpc_that_names_a_port_or_camera_is_tried_here() -> None:
    protos = {
        "serial": serial.DESCRIPTOR,
        "camera": camera.DESCRIPTOR,
        "job": job.DESCRIPTOR,
        "usb": usb.DESCRIPTOR,
    }
    named = {
        (name, method.name)
        for name, proto in protos.items()
        for service in proto.services_by_name.values()
        for method in service.methods
        if names_one(method)
    }
    assert named == {(case.service, case.method) for case in NAMING}


NAMING = [case for case in CASES if case.kind]
HIDDEN = {"port": "mill", "camera": "door", "job": "2", "device": "0403:6001:A6"}


@pytest.mark.parametrize("who", ["some", "one"])
@pytest.mark.parametrize("case", NAMING, ids=lambda case: case.name)
async def test_hidden_and_unknown_resources_are_reported_alike(
    refusing_host: GuardedHost, case: Case, who: str
) -> None:
    async def told(id_: str) -> str:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await case.ask(refusing_host.channel(case.service, who), id_)
        text = str(refused.value.details())
        for shown in (repr(id_), f"job {id_}"):
            text = text.replace(shown, "ID")
        return f"{refused.value.code()}: {text}"

    is_job = case.kind == "job"
    assert await told(HIDDEN[case.kind]) == await told("999" if is_job else "nothere")


async def test_clients_are_counted_on_ports_that_one_may_view(host: GuardedHost) -> None:
    hidden = serial_of(host, "admin").Session()
    await hidden.write(session(OBSERVE)("mill"))
    assert await hidden.read() is not grpc.aio.EOF
    await until(lambda: len(host.ports.get("mill").roster))
    counts = {}
    for name in ("admin", "one"):
        stats = serial_of(host, name).WatchStats(serial.WatchStatsRequest())
        counts[name] = (await stats.read()).clients
        stats.cancel()
    hidden.cancel()
    assert counts == {"admin": 1, "one": 0}


async def test_discovery_lists_this_hosts_ports_that_the_caller_may_view(host: GuardedHost) -> None:
    own = discovery.AnnounceRequest(
        endpoints=[discovery.Endpoint(kind=discovery.KIND_SERIAL, port=50051)],
        port_ids=["laser", "mill"],
    )
    announcing: Any = DiscoveryServiceStub(host.channel("discovery", "admin")).Announce()
    await announcing.write(own)
    assert await announcing.read() is not grpc.aio.EOF

    async def ids(name: str) -> list[list[str]]:
        stub: Any = DiscoveryServiceStub(host.channel("discovery", name))
        listed = await stub.ListInstances(discovery.ListInstancesRequest(), timeout=TIMEOUT_S)
        watching = stub.Watch()
        await watching.write(discovery.WatchRequest())
        watched = (await watching.read()).snapshot
        watching.cancel()
        return [list(each.instances[0].port_ids) for each in (listed, watched)]

    assert await ids("admin") == [["laser", "mill"]] * 2
    assert await ids("one") == [["laser"]] * 2
    announcing.cancel()
