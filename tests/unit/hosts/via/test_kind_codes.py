"""Every kind of service has its number in discovery.proto, and no number is of two."""

from __future__ import annotations

from usbshare.discovery.v1 import discovery_pb2 as pb
from usbshare.hosts.instance import USUAL_PORTS, Kind
from usbshare.hosts.via.discovery_service import _instance
from usbshare.hosts.via.health_probe import _ORDER
from usbshare.hosts.via.kind_codes import CODE_OF_KIND, KIND_OF_CODE


def test_every_kind_has_a_code_a_usual_port_and_a_place_among_those_that_are_asked() -> None:
    assert set(CODE_OF_KIND) == set(USUAL_PORTS) == set(_ORDER) == set(Kind)
    assert set(KIND_OF_CODE) == set(pb.Kind.values()) - {pb.KIND_UNSPECIFIED}


def test_endpoints_of_a_kind_that_is_not_known_here_are_ignored() -> None:
    later = pb.Endpoint(kind=99, port=50099)  # type: ignore[arg-type]  # of a later version
    told = pb.Instance(name="laser", addresses=["192.0.2.1"], endpoints=[later])
    assert _instance(told, "192.0.2.1") is None
    told.endpoints.append(pb.Endpoint(kind=pb.KIND_JOB, port=50055))
    found = _instance(told, "192.0.2.1")
    assert found is not None
    assert [(each.kind, each.port) for each in found.endpoints] == [(Kind.JOB, 50055)]
