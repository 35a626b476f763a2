"""Who may do what, as protobuf says it."""

from __future__ import annotations

from datetime import datetime

from usbshare.access.v1 import access_pb2 as pb
from usbshare.authorization.gate import Granted
from usbshare.authorization.rights import ResourceKind, Right
from usbshare.rpc.identity import Identity
from usbshare.rpc.wire_time import timestamp

_RIGHTS = {
    Right.VIEW: pb.RIGHT_VIEW,
    Right.STOP: pb.RIGHT_STOP,
    Right.CONTROL: pb.RIGHT_CONTROL,
    Right.ADMIN: pb.RIGHT_ADMIN,
}
_KINDS = {
    ResourceKind.SERVICE: pb.RESOURCE_KIND_UNSPECIFIED,
    ResourceKind.PORT: pb.RESOURCE_KIND_PORT,
    ResourceKind.CAMERA: pb.RESOURCE_KIND_CAMERA,
}


def who_am_i(
    caller: Identity, grants: list[Granted], confirmed_until: datetime | None
) -> pb.WhoAmIResponse:
    """Return what a caller is and may do."""
    return pb.WhoAmIResponse(
        identity=caller.name,
        grants=[_grant(each) for each in grants],
        certificate_end_time=None if caller.expires is None else timestamp(caller.expires),
        confirmed_until_time=None if confirmed_until is None else timestamp(confirmed_until),
    )


def _grant(granted: Granted) -> pb.Grant:
    return pb.Grant(
        kind=_KINDS[granted.resource.kind],
        id=granted.resource.id,
        rights=[_RIGHTS[each] for each in granted.rights],
        to_confirm=[_RIGHTS[each] for each in granted.to_confirm],
        until_time=None if granted.until is None else timestamp(granted.until),
    )
