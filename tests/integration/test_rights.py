"""Every RPC of every service needs the right that it says, over real connections."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC
from typing import Any

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from fakes.every_rpc import CASES, TIMEOUT_S, Case, first_of
from fakes.guarded_host import GuardedHost, guarded_host
from usbshare.access.v1 import access_pb2
from usbshare.access.v1.access_pb2_grpc import AccessServiceStub
from usbshare.authorization.api.requirements import requirement_of
from usbshare.authorization.rights import Right
from usbshare.camera.v1 import camera_pb2
from usbshare.camera.v1.camera_pb2_grpc import CameraServiceStub
from usbshare.discovery.v1 import discovery_pb2
from usbshare.job.v1 import job_pb2
from usbshare.rpc.tls import ClientBundle
from usbshare.serial.v1 import serial_pb2
from usbshare.serial.v1.serial_pb2_grpc import SerialServiceStub
from usbshare.usb.v1 import usb_pb2

FILES = (access_pb2, serial_pb2, camera_pb2, discovery_pb2, job_pb2, usb_pb2)
METHODS = {
    f"/{service.full_name}/{method.name}"
    for file in FILES
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
ENROL = "/usbshare.access.v1.EnrolmentService/Enrol"  # at a port of its own, for strangers
IDENTITIES = ["none", *(right.value for right in Right)]
SERVICES = ["serial", "camera", "discovery", "job", "usb"]
POLICY = "".join(
    f'[[grants]]\nwho = ["{right.value}"]\nrights = ["{right.value}"]\n'
    'ports = ["laser"]\ncameras = ["bed"]\nusb = ["*:A5"]\n'
    for right in Right
)
OURS = {"port": "laser", "camera": "bed", "job": "1", "device": "0403:6001:A5", "": ""}
NOT_OURS = {"port": "mill", "camera": "door", "job": "2", "device": "0403:6001:A6"}


@pytest.fixture(scope="module")
async def host(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GuardedHost]:
    async with guarded_host(tmp_path_factory.mktemp("host"), POLICY) as running:
        yield running


def test_every_rpc_is_in_the_table() -> None:
    def of(service: str) -> set[str]:
        return {case.method for case in CASES if case.service == service}

    for service in SERVICES:
        own = {each for each in METHODS if f".{service}.v1." in each}
        assert {each.rpartition("/")[2] for each in own} <= of(service)
    assert {"WhoAmI", "Confirm", "Renew"} <= of("serial")
    assert len(METHODS) == len({(case.service, case.method) for case in CASES}) + len({ENROL})


@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_rpc_says_what_right_it_needs(method: str) -> None:
    assert requirement_of(method) is not None


def test_an_unknown_rpc_is_refused_to_every_caller() -> None:
    assert requirement_of("/usbshare.serial.v1.SerialService/NoSuchMethod") is None


@pytest.mark.parametrize("identity", IDENTITIES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_an_rpc_is_for_those_who_have_the_right(
    host: GuardedHost, case: Case, identity: str
) -> None:
    refusal = await case.refusal(host, identity, OURS[case.kind])
    if case.method == "Confirm":  # it got past the gate: nobody here has a second factor
        assert "has no second factor" in refusal
    elif case.method == "Renew":  # likewise
        assert "is not due for renewal" in refusal
    elif case.is_for(identity):
        assert refusal == ""
    else:
        assert case.needs is not None
        assert refusal.startswith(f"{identity} may not ")
        # Some calls say only later what they are about, and are refused before if nothing helps.
        first = "stop" if case.method == "SendRealtime" else "view"
        asked = (case.needs.value, first, case.also.value if case.also else first)
        assert any(f"lacks the right to {r}" in refusal for r in asked)


@pytest.mark.parametrize("identity", IDENTITIES)
@pytest.mark.parametrize("case", [each for each in CASES if each.kind], ids=lambda case: case.name)
async def test_a_right_on_one_port_is_not_a_right_on_another(
    host: GuardedHost, case: Case, identity: str
) -> None:
    refusal = await case.refusal(host, identity, NOT_OURS[case.kind])
    is_hidden = case.kind == "job" and refusal == "there is no job 2 here"
    assert "lacks the right to" in refusal or is_hidden


@pytest.mark.parametrize("identity", IDENTITIES)
@pytest.mark.parametrize("service", SERVICES)
async def test_health_is_for_every_identity(host: GuardedHost, service: str, identity: str) -> None:
    stub: Any = health_pb2_grpc.HealthStub(host.channel(service, identity))
    reply = await stub.Check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_S)
    assert reply.status == health_pb2.HealthCheckResponse.SERVING


async def test_lists_show_what_one_may_view(host: GuardedHost) -> None:
    serial = SerialServiceStub(host.channel("serial", "view"))
    camera = CameraServiceStub(host.channel("camera", "view"))
    ports = await serial.ListPorts(serial_pb2.ListPortsRequest(), timeout=TIMEOUT_S)
    assert [port.id for port in ports.ports] == ["laser"]
    cameras = await camera.ListCameras(camera_pb2.ListCamerasRequest(), timeout=TIMEOUT_S)
    assert [each.id for each in cameras.cameras] == ["bed"]


async def test_counters_show_what_one_may_view(host: GuardedHost) -> None:
    serial = SerialServiceStub(host.channel("serial", "view"))
    camera = CameraServiceStub(host.channel("camera", "view"))
    stats = await first_of(serial.WatchStats(serial_pb2.WatchStatsRequest()))
    assert [port.port_id for port in stats.ports] == ["laser"]
    pictures = await first_of(camera.WatchStats(camera_pb2.WatchStatsRequest()))
    assert [each.camera_id for each in pictures.cameras] == ["bed"]


async def test_every_caller_is_told_what_it_may_do(host: GuardedHost) -> None:
    told = {}
    for identity in IDENTITIES:
        stub = AccessServiceStub(host.channel("serial", identity))
        reply = await stub.WhoAmI(access_pb2.WhoAmIRequest(), timeout=TIMEOUT_S)
        assert reply.identity == f"usbshare://{host.site.id}/{identity}"
        assert reply.certificate_end_time.ToDatetime(UTC) == host.bundle(identity).expires
        told[identity] = [(each.id, list(each.rights)) for each in reply.grants]
    view, stop, control, admin = 1, 2, 3, 4
    assert told == {
        "none": [],
        "view": [("laser", [view, stop])],
        "stop": [("laser", [stop])],
        "control": [("laser", [view, stop, control])],
        "admin": [("laser", [view, stop, admin])],
    }


@pytest.mark.parametrize("case", [each for each in CASES if each.needs], ids=lambda case: case.name)
async def test_the_services_own_certificate_opens_nothing_but_discovery(
    host: GuardedHost, case: Case
) -> None:
    host.bundles["host"] = ClientBundle.load(host.site.host_bundle)
    refusal = await case.refusal(host, "host", OURS[case.kind])
    may = case.service == "discovery" and case.needs is not Right.ADMIN
    assert (refusal == "") == may
