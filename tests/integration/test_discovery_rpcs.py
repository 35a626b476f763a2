"""The discovery service's RPCs, called as other tools call them: generated stubs over real mTLS."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from fakes.certificates import make_site
from fakes.discovery_served import Served, serving
from fakes.waiting import until
from usbshare.authorization import gate as gate_module
from usbshare.discovery.v1 import discovery_pb2 as pb
from usbshare.discovery_svc.api import servicer as servicer_module
from usbshare.discovery_svc.api.servicer import SERVICE_NAME
from usbshare.hosts.instance import Endpoint, Kind, Source
from usbshare.hosts.settings import HostTable
from usbshare.rpc.identity import Identity
from usbshare.trust.site import Site

TIMEOUT_S = 30.0
SERIAL = pb.Endpoint(kind=pb.KIND_SERIAL, port=50051)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return make_site(tmp_path)


@pytest.fixture
async def served(site: Site) -> AsyncIterator[Served]:
    async with serving(site, Mill=HostTable(address="mill.lan")) as made:
        yield made


async def listed(served: Served, **wanted: Any) -> list[str]:
    request = pb.ListInstancesRequest(filter=pb.Filter(**wanted))
    response = await served.stub.ListInstances(request, timeout=TIMEOUT_S)
    return [each.name for each in response.instances]


async def failure(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), caught.value.details() or ""


# ListInstances


async def test_matching_instances_are_listed_by_name(served: Served) -> None:
    served.observe("Laser", site=served.site.fingerprint)
    served.observe("camera", endpoints=(Endpoint(Kind.CAMERA, 50052),))
    assert await listed(served) == ["camera", "Laser", "Mill", "own"]
    assert await listed(served, kind=pb.KIND_CAMERA) == ["camera"]
    assert await listed(served, name_pattern="[lm]*") == ["Laser", "Mill"]
    assert await listed(served, site=served.site.id) == ["Laser", "own"]


async def test_an_instance_is_listed_with_all_that_is_known(served: Served) -> None:
    before = time.time()
    served.observe("Laser", host="laser.local", port_ids=("laser",), version="9")
    request = pb.ListInstancesRequest(filter=pb.Filter(name_pattern="Laser"))
    (found,) = (await served.stub.ListInstances(request, timeout=TIMEOUT_S)).instances
    seen = found.last_seen_time.ToNanoseconds() / 1e9
    assert before - 1 <= seen <= time.time() + 1
    assert (found.host, list(found.port_ids), found.version) == ("laser.local", ["laser"], "9")
    assert list(found.sources) == [pb.SOURCE_MDNS]
    assert found.tls
    assert not found.is_own_site


async def test_a_wrong_filter_is_refused(served: Served) -> None:
    request = pb.ListInstancesRequest(filter=pb.Filter(site="laser"))
    code, text = await failure(served.stub.ListInstances(request, timeout=TIMEOUT_S))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "filter.site 'laser'" in text


# Watch


async def next_event(call: Any, kind: str) -> Any:
    response = await asyncio.wait_for(call.read(), TIMEOUT_S)
    assert isinstance(response, pb.WatchResponse), "the stream ended"
    assert response.WhichOneof("event") == kind, response
    return getattr(response, kind)


async def watching(served: Served, **wanted: Any) -> tuple[Any, list[str]]:
    call = served.stub.Watch(timeout=TIMEOUT_S)
    await call.write(pb.WatchRequest(filter=pb.Filter(**wanted)))
    snapshot = await next_event(call, "snapshot")
    return call, [each.name for each in snapshot.instances]


async def test_a_watch_reports_the_set_and_each_change(served: Served) -> None:
    call, names = await watching(served)
    assert names == ["Mill", "own"]
    served.observe("Laser")
    assert (await next_event(call, "added")).name == "Laser"
    served.observe("Laser", port_ids=("laser",))
    assert list((await next_event(call, "updated")).port_ids) == ["laser"]
    served.forget("Laser")
    assert (await next_event(call, "removed")).name == "Laser"


async def test_nothing_is_reported_before_a_filter_is_set(served: Served) -> None:
    call = served.stub.Watch(timeout=TIMEOUT_S)
    reading = asyncio.create_task(call.read())
    served.observe("Laser")
    await asyncio.sleep(0.05)
    assert not reading.done()
    await call.write(pb.WatchRequest(filter=pb.Filter(name_pattern="Laser")))
    response = await reading
    assert isinstance(response, pb.WatchResponse)
    assert [each.name for each in response.snapshot.instances] == ["Laser"]


async def test_the_filter_of_a_running_watch_is_changed(served: Served) -> None:
    call, names = await watching(served, kind=pb.KIND_CAMERA)
    assert names == []
    served.observe("Laser")
    await call.write(pb.WatchRequest(filter=pb.Filter(name_pattern="Laser")))
    snapshot = await next_event(call, "snapshot")
    assert [each.name for each in snapshot.instances] == ["Laser"]
    served.observe("Lathe")
    await call.write(pb.WatchRequest(filter=pb.Filter(name_pattern="La*")))
    snapshot = await next_event(call, "snapshot")
    assert [each.name for each in snapshot.instances] == ["Laser", "Lathe"]


async def test_a_wrong_filter_ends_a_running_watch(served: Served) -> None:
    call, _ = await watching(served)
    await call.write(pb.WatchRequest(filter=pb.Filter(kind=9)))  # type: ignore[arg-type]
    code, text = await failure(call.read())
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "filter.kind is 9" in text


async def test_a_watch_continues_when_the_client_has_sent_everything(served: Served) -> None:
    call, _ = await watching(served)
    await call.done_writing()
    served.observe("Laser")
    assert (await next_event(call, "added")).name == "Laser"


async def test_a_watcher_that_leaves_makes_room(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servicer_module, "MOST_WATCHES", 1)
    call, _ = await watching(served)
    second = served.stub.Watch(timeout=TIMEOUT_S)
    await second.write(pb.WatchRequest())
    code, _ = await failure(second.read())
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    call.cancel()
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            third = served.stub.Watch(timeout=TIMEOUT_S)
            try:
                await third.write(pb.WatchRequest())
                if isinstance(await third.read(), pb.WatchResponse):
                    break
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
                await asyncio.sleep(0.01)


async def test_a_service_that_stops_ends_its_watches(served: Served) -> None:
    call, _ = await watching(served)
    await served.servicer.close()
    assert await call.read() is grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK


# Announce


async def announced(served: Served, **fields: Any) -> tuple[Any, pb.AnnounceResponse]:
    call = served.stub.Announce(timeout=TIMEOUT_S)
    await call.write(pb.AnnounceRequest(endpoints=[SERIAL], port_ids=["laser"], **fields))
    response = await call.read()
    assert isinstance(response, pb.AnnounceResponse)
    return call, response


def kinds(served: Served) -> set[Kind]:
    return {each.kind for each in served.own.endpoints}


async def test_a_registration_lasts_until_its_stream_ends(served: Served) -> None:
    call, response = await announced(served)
    assert response == pb.AnnounceResponse(name="own", ttl=Duration(seconds=30))
    await until(lambda: kinds(served) == {Kind.SERIAL, Kind.DISCOVERY})
    assert list(served.own.port_ids) == ["laser"]
    await call.done_writing()
    await until(lambda: kinds(served) == {Kind.DISCOVERY})
    assert list(served.own.port_ids) == []
    assert await call.read() is grpc.aio.EOF


async def test_a_registration_ends_with_its_program(served: Served) -> None:
    call, _ = await announced(served)
    await until(lambda: Kind.SERIAL in kinds(served))
    call.cancel()
    await until(lambda: Kind.SERIAL not in kinds(served))
    assert len(served.registrations) == 0


async def test_another_registration_replaces_the_current_one(served: Served) -> None:
    call, _ = await announced(served)
    camera = pb.Endpoint(kind=pb.KIND_CAMERA, port=50052)
    await call.write(pb.AnnounceRequest(endpoints=[camera], ttl=Duration(seconds=5)))
    response = await call.read()
    assert response.ttl == Duration(seconds=5)
    await until(lambda: kinds(served) == {Kind.CAMERA, Kind.DISCOVERY})


async def test_a_registration_that_is_not_renewed_ends(served: Served) -> None:
    call, _ = await announced(served, ttl=Duration(seconds=1))
    await until(lambda: Kind.SERIAL in kinds(served))
    code, text = await failure(call.read())
    assert (code, text) == (
        grpc.StatusCode.UNAVAILABLE,
        "the registration was not renewed within 1 s",
    )
    await until(lambda: Kind.SERIAL not in kinds(served))


async def test_an_empty_request_renews(served: Served) -> None:
    call, _ = await announced(served, ttl=Duration(seconds=1))
    await call.write(pb.AnnounceRequest(ttl=Duration(seconds=600)))
    assert (await call.read()).ttl == Duration(seconds=600)
    await until(lambda: kinds(served) == {Kind.SERIAL, Kind.DISCOVERY})


@pytest.mark.parametrize(
    "request_",
    [
        pb.AnnounceRequest(),
        pb.AnnounceRequest(endpoints=[pb.Endpoint(port=1)]),
        pb.AnnounceRequest(endpoints=[SERIAL], ttl=Duration(seconds=601)),
    ],
)
async def test_a_wrong_registration_is_refused(
    served: Served, request_: pb.AnnounceRequest
) -> None:
    call = served.stub.Announce(timeout=TIMEOUT_S)
    await call.write(request_)
    code, _ = await failure(call.read())
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert len(served.registrations) == 0


async def test_another_computer_may_not_announce(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger = Identity("usbshare://site/operator", "192.0.2.9:4000")
    monkeypatch.setattr(gate_module, "peer_identity", lambda *_: stranger)
    call = served.stub.Announce(timeout=TIMEOUT_S)
    code, text = await failure(call.read())
    assert code is grpc.StatusCode.PERMISSION_DENIED
    assert "192.0.2.9:4000 is another" in text


# The rest


async def test_counters_are_reported_and_reset(served: Served) -> None:
    counters = served.finder.add_counters(Source.MDNS)
    counters.received(100)
    served.observe("Laser")
    stats = (await served.stub.GetStats(pb.GetStatsRequest(), timeout=TIMEOUT_S)).sources
    by_source = {each.source: each for each in stats}
    assert by_source.keys() == {pb.SOURCE_STATIC, pb.SOURCE_MDNS}
    mdns = by_source[pb.SOURCE_MDNS]
    assert (mdns.received_packets, mdns.received_bytes, mdns.active_instances) == (1, 100, 1)
    assert by_source[pb.SOURCE_STATIC].active_instances == 1
    were = (await served.stub.ResetStats(pb.ResetStatsRequest(), timeout=TIMEOUT_S)).sources
    assert {each.source: each.received_packets for each in were}[pb.SOURCE_MDNS] == 1
    stats = (await served.stub.GetStats(pb.GetStatsRequest(), timeout=TIMEOUT_S)).sources
    assert [(each.received_packets, each.active_instances) for each in stats] == [(0, 1), (0, 1)]


async def test_health_and_reflection_are_there(served: Served) -> None:
    health = health_pb2_grpc.HealthStub(served.channel)
    request = health_pb2.HealthCheckRequest(service=SERVICE_NAME)
    status = (await health.Check(request, timeout=TIMEOUT_S)).status  # type: ignore[attr-defined]
    assert status == health_pb2.HealthCheckResponse.SERVING
    reflection: Any = reflection_pb2_grpc.ServerReflectionStub(served.channel)  # type: ignore[arg-type]
    call = reflection.ServerReflectionInfo(timeout=TIMEOUT_S)
    await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
    names = {each.name for each in (await call.read()).list_services_response.service}
    assert SERVICE_NAME in names
    call.cancel()
