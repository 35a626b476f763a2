"""Messages of discovery.proto: what is refused, and what comes out."""

from __future__ import annotations

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from usbshare.base.errors import InvalidArgumentError
from usbshare.discovery.v1 import discovery_pb2 as pb
from usbshare.discovery_svc.api import convert
from usbshare.discovery_svc.api.convert import InstanceWriter
from usbshare.discovery_svc.registrations import Offer
from usbshare.hosts.counters import SourceStats
from usbshare.hosts.filter import Filter
from usbshare.hosts.instance import Endpoint, Entry, Instance, Kind, Source
from usbshare.hosts.watch import Added, Change, Removed, Snapshot, Updated

SITE = "ab" * 32
INSTANCE = Instance(
    "Laser-Workshop",
    ("192.0.2.1", "fe80::1%eth0"),
    (Endpoint(Kind.SERIAL, 50051), Endpoint(Kind.DISCOVERY, 50053)),
    host="laser.local",
    port_ids=("laser",),
    site=SITE,
    version="1.2.3",
)
ENTRY = Entry("7", INSTANCE, frozenset({Source.BEACON, Source.MDNS, Source.VIA}), 100.0)
WRITER = InstanceWriter(SITE, 1_700_000_000.0)


def anything(_: str) -> bool:
    return True


def nothing(_: str) -> bool:
    return False


def test_of_this_host_only_the_ports_that_the_caller_may_view_are_reported() -> None:
    assert WRITER.instance(ENTRY, nothing).port_ids == []
    assert InstanceWriter("cd" * 32, 0).instance(ENTRY, nothing).port_ids == ["laser"]


def test_an_instance_is_reported_completely() -> None:
    assert WRITER.instance(ENTRY, anything) == pb.Instance(
        id="7",
        name="Laser-Workshop",
        host="laser.local",
        addresses=["192.0.2.1", "fe80::1%eth0"],
        endpoints=[
            pb.Endpoint(kind=pb.KIND_SERIAL, port=50051),
            pb.Endpoint(kind=pb.KIND_DISCOVERY, port=50053),
        ],
        port_ids=["laser"],
        tls=True,
        site=SITE,
        is_own_site=True,
        version="1.2.3",
        sources=[pb.SOURCE_MDNS, pb.SOURCE_BEACON],
        last_seen_time=Timestamp(seconds=1_700_000_100),
    )


@pytest.mark.parametrize(("theirs", "own"), [("", ""), ("", SITE), (SITE, "cd" * 32)])
def test_only_a_site_that_is_known_can_be_our_own(theirs: str, own: str) -> None:
    entry = Entry("7", Instance("x", (), (), site=theirs))
    assert not InstanceWriter(own, 0).instance(entry, anything).is_own_site


@pytest.mark.parametrize(
    ("change", "event"),
    [
        (Snapshot((ENTRY,)), "snapshot"),
        (Snapshot(()), "snapshot"),
        (Added(ENTRY), "added"),
        (Updated(ENTRY), "updated"),
        (Removed(ENTRY), "removed"),
    ],
)
def test_each_change_is_its_own_event(change: Change, event: str) -> None:
    assert WRITER.watch_response(change, anything).WhichOneof("event") == event


def test_a_filter_that_says_nothing_takes_all() -> None:
    assert convert.filter_of(pb.Filter()) == Filter()


def test_a_filter_is_read_whole() -> None:
    message = pb.Filter(kind=pb.KIND_CAMERA, name_pattern="Laser*", site=SITE.upper())
    assert convert.filter_of(message) == Filter(Kind.CAMERA, "Laser*", SITE)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"kind": 9}, "filter.kind is 9; accepted: KIND_SERIAL, KIND_CAMERA, KIND_DISCOVERY"),
        ({"name_pattern": "é" * 128}, "filter.name_pattern"),
        ({"site": "0123456789abcdefg"}, "filter.site"),
        ({"site": "0" * 65}, "filter.site"),
    ],
)
def test_a_wrong_filter_is_refused_by_field(fields: dict[str, object], named: str) -> None:
    with pytest.raises(InvalidArgumentError, match=named):
        convert.filter_of(pb.Filter(**fields))  # type: ignore[arg-type]


def test_an_offer_is_read_whole() -> None:
    endpoints = [pb.Endpoint(kind=pb.KIND_SERIAL, port=1), pb.Endpoint(kind=pb.KIND_CAMERA, port=2)]
    message = pb.AnnounceRequest(endpoints=endpoints, port_ids=["laser", "laser-2"])
    both = (Endpoint(Kind.SERIAL, 1), Endpoint(Kind.CAMERA, 2))
    assert convert.offer_of(message) == Offer(both, ("laser", "laser-2"))
    assert convert.offer_of(pb.AnnounceRequest()).is_empty


ONE = pb.Endpoint(kind=pb.KIND_SERIAL, port=1)


@pytest.mark.parametrize(
    ("message", "named"),
    [
        (pb.AnnounceRequest(endpoints=[pb.Endpoint(port=1)]), "KIND_UNSPECIFIED"),
        (pb.AnnounceRequest(endpoints=[pb.Endpoint(kind=pb.KIND_SERIAL)]), "endpoints.port is 0"),
        (
            pb.AnnounceRequest(endpoints=[pb.Endpoint(kind=pb.KIND_SERIAL, port=65536)]),
            "endpoints.port is 65536",
        ),
        (pb.AnnounceRequest(endpoints=[ONE, ONE]), "two entries of the same kind"),
        (pb.AnnounceRequest(port_ids=["laser"]), "port_ids needs"),
        (pb.AnnounceRequest(endpoints=[ONE], port_ids=["x"] * 65), "more than 64"),
        (pb.AnnounceRequest(endpoints=[ONE], port_ids=["\x1b[2J"]), "port_ids"),
        (pb.AnnounceRequest(endpoints=[ONE], port_ids=["a,b"]), "port_ids"),
        (pb.AnnounceRequest(endpoints=[ONE], port_ids=[""]), "port_ids"),
    ],
)
def test_a_wrong_offer_is_refused_by_field(message: pb.AnnounceRequest, named: str) -> None:
    with pytest.raises(InvalidArgumentError, match=named):
        convert.offer_of(message)


def test_a_time_to_live_is_bounded_and_thirty_seconds_where_absent() -> None:
    assert convert.ttl_s(pb.AnnounceRequest()) == 30
    assert convert.ttl_s(pb.AnnounceRequest(ttl=Duration(seconds=600))) == 600
    for seconds in (-1, 601):
        with pytest.raises(InvalidArgumentError, match="ttl"):
            convert.ttl_s(pb.AnnounceRequest(ttl=Duration(seconds=seconds)))
    with pytest.raises(InvalidArgumentError, match="ttl"):
        convert.ttl_s(pb.AnnounceRequest(ttl=Duration(nanos=999_999_999)))


def test_counters_of_what_clients_do_not_know_are_left_out() -> None:
    stats = SourceStats(1, 2, 3, 4, 5, 6.5, 7.5)
    messages = convert.stats_messages({Source.MDNS: stats, Source.VIA: stats}, {Source.MDNS: 8})
    assert messages == [
        pb.SourceStats(
            source=pb.SOURCE_MDNS,
            sent_packets=1,
            sent_bytes=2,
            received_packets=3,
            received_bytes=4,
            errors=5,
            active_instances=8,
            uptime=Duration(seconds=6, nanos=500_000_000),
            received_packets_per_s=7.5,
        )
    ]
