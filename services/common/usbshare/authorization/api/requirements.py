"""What each RPC needs, as its annotation in the proto says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import EnumDescriptor, MethodDescriptor

from usbshare.access.v1 import access_pb2 as pb
from usbshare.authorization.rights import ResourceKind, Right

# Part of every gRPC service, without annotations of ours: any identity may.
_STANDARD = ("grpc.health.v1.Health.", "grpc.reflection.v1alpha.ServerReflection.")
_RIGHTS = {
    pb.RIGHT_UNSPECIFIED: None,
    pb.RIGHT_VIEW: Right.VIEW,
    pb.RIGHT_STOP: Right.STOP,
    pb.RIGHT_CONTROL: Right.CONTROL,
    pb.RIGHT_ADMIN: Right.ADMIN,
}
_KINDS = {
    pb.RESOURCE_KIND_UNSPECIFIED: ResourceKind.SERVICE,
    pb.RESOURCE_KIND_PORT: ResourceKind.PORT,
    pb.RESOURCE_KIND_CAMERA: ResourceKind.CAMERA,
    pb.RESOURCE_KIND_JOB: ResourceKind.JOB,
    pb.RESOURCE_KIND_DEVICE: ResourceKind.DEVICE,
    pb.RESOURCE_KIND_SITE: ResourceKind.SITE,
}
_ID_FIELDS = {
    ResourceKind.PORT: "port_id",
    ResourceKind.CAMERA: "camera_id",
    ResourceKind.JOB: "job_id",
    ResourceKind.DEVICE: "device_id",
}


@dataclass(frozen=True, slots=True)
class Requirement:
    """The right that is needed, None if any identity may; on what; whether it arms a machine.

    `urgent`: it acts on a machine at once. `by_value`: what is needed instead, by a field of the
    request and its value.
    """

    right: Right | None
    kind: ResourceKind = ResourceKind.SERVICE
    arms: bool = False
    urgent: bool = False
    by_value: Mapping[str, Mapping[int, Requirement]] = field(default_factory=dict)

    def of(self, request: Any) -> Requirement:
        """Return what this request needs."""
        for name, values in self.by_value.items():
            if (found := values.get(getattr(request, name))) is not None:
                return found
        return self

    def resource_id(self, request: Any) -> str:
        """Return the id that the request names; empty if it names none."""
        name = _ID_FIELDS.get(self.kind)
        return "" if name is None else str(getattr(request, name, ""))


@lru_cache(maxsize=256)
def requirement_of(method: str) -> Requirement | None:
    """Return what `/package.Service/Method` needs; None if it is not declared."""
    name = method.lstrip("/").replace("/", ".")
    if name.startswith(_STANDARD):
        return Requirement(None)
    try:
        found = descriptor_pool.Default().FindMethodByName(name)
    except KeyError:
        return None
    return _annotated(found)


def _annotated(method: MethodDescriptor) -> Requirement | None:
    options = method.GetOptions()
    if not options.HasExtension(pb.requirement):
        return None
    values = {each.name: _by_value(each.enum_type) for each in method.input_type.fields}
    by_value = {name: found for name, found in values.items() if found}
    return _requirement(options.Extensions[pb.requirement], by_value)


def _by_value(enum: EnumDescriptor | None) -> dict[int, Requirement]:
    if enum is None:
        return {}
    options = {value.number: value.GetOptions() for value in enum.values}
    return {
        number: _requirement(each.Extensions[pb.value_requirement], {})
        for number, each in options.items()
        if each.HasExtension(pb.value_requirement)
    }


def _requirement(
    message: pb.Requirement, by_value: Mapping[str, Mapping[int, Requirement]]
) -> Requirement:
    right, kind = _RIGHTS[message.right], _KINDS[message.resource]
    return Requirement(right, kind, message.arms, message.urgent, by_value)
