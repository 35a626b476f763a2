"""Hosts, their cameras and jobs, and the gateway itself as page.proto has them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from usbshare.access.v1 import access_pb2
from usbshare.camera.v1 import camera_pb2
from usbshare.discovery.v1 import discovery_pb2
from usbshare.hosts.instance import Source
from usbshare.hosts.via.kind_codes import CODE_OF_KIND
from usbshare.job.v1 import job_pb2
from usbshare.page.v1 import page_pb2 as pb
from usbshare.panel.api.json_text import text
from usbshare.panel.api.pack_machine import permission_message
from usbshare.panel.following import ServiceState, ServiceView
from usbshare.panel.hosts.host import HostView, Relation
from usbshare.panel.machines.permissions import Permission
from usbshare.panel.seen import SeenCamera, SeenJob
from usbshare.rpc.wire_time import optional_duration, timestamp

_STATES = {
    ServiceState.NONE: pb.SERVICE_STATE_UNSPECIFIED,
    ServiceState.NOT_ASKED: pb.SERVICE_STATE_NOT_ASKED,
    ServiceState.CONNECTING: pb.SERVICE_STATE_CONNECTING,
    ServiceState.CONNECTED: pb.SERVICE_STATE_CONNECTED,
    ServiceState.LOST: pb.SERVICE_STATE_LOST,
    ServiceState.REFUSED: pb.SERVICE_STATE_REFUSED,
}
_RELATIONS = {
    Relation.UNKNOWN: pb.SITE_RELATION_UNSPECIFIED,
    Relation.OWN: pb.SITE_RELATION_OWN,
    Relation.FOREIGN: pb.SITE_RELATION_FOREIGN,
}
_SOURCES = {
    Source.MDNS: discovery_pb2.SOURCE_MDNS,
    Source.BEACON: discovery_pb2.SOURCE_BEACON,
    Source.STATIC: discovery_pb2.SOURCE_STATIC,
    Source.LOCAL: discovery_pb2.SOURCE_LOCAL,
}
# A change of the age by this much is worth a message.
_AGE_STEP_S = 10.0


def host_message(view: HostView) -> pb.Host:
    """Return a Host."""
    entry, instance = view.entry, view.entry.instance
    message = pb.Host(
        key=view.key,
        name=instance.name,
        dns_name=instance.host,
        addresses=instance.addresses,
        sources=[_SOURCES[each] for each in Source if each in entry.sources and each in _SOURCES],
        announced_port_ids=instance.port_ids,
        version=instance.version,
        site=instance.site,
        relation=_RELATIONS[view.relation],
        serial=_service(view.serial),
        camera=_service(view.camera),
        job=_service(view.job),
        round_trip=optional_duration(view.round_trip_s),
        is_added=view.is_added,
    )
    for endpoint in instance.endpoints:
        message.endpoints.add(kind=CODE_OF_KIND[endpoint.kind], port=endpoint.port)
    if view.rights is not None and isinstance(view.rights.message, access_pb2.WhoAmIResponse):
        message.who_am_i.CopyFrom(view.rights.message)
    if view.serial.state is not ServiceState.CONNECTED and view.age_s >= _AGE_STEP_S:
        heard = datetime.now(UTC) - timedelta(seconds=view.age_s - view.age_s % _AGE_STEP_S)
        message.last_seen_time.CopyFrom(timestamp(heard.replace(microsecond=0)))
    return message


def host_text(view: HostView) -> str:
    """Return a Host as JSON."""
    return text(host_message(view))


def camera_text(host: str, seen: SeenCamera, view: Permission) -> str:
    """Return a Camera as JSON."""
    message = pb.Camera(key=pb.CameraKey(host=host, camera_id=seen.id))
    message.view.CopyFrom(permission_message(view))
    if isinstance(seen.message, camera_pb2.Camera):
        message.camera.CopyFrom(seen.message)
    return text(message)


def job_text(host: str, seen: SeenJob) -> str:
    """Return a HostJob as JSON."""
    message = pb.HostJob(host=host)
    if isinstance(seen.message, job_pb2.Job):
        message.job.CopyFrom(seen.message)
    return text(message)


def _service(view: ServiceView) -> pb.Service:
    return pb.Service(state=_STATES[view.state], reason=view.reason, target=view.target)
