"""Calls about the caller's own rights, to any service of a host."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from usbshare.access.v1 import access_pb2 as pb
from usbshare.access.v1.access_pb2_grpc import AccessServiceStub
from usbshare.base.errors import ConnectionRefusedByPeerError, UsbshareError
from usbshare.rpc.channel import QUIET_KEEPALIVE, Target, open_channel
from usbshare.rpc.status import error_from_rpc
from usbshare.rpc.tls import ClientBundle

CALL_TIMEOUT_S = 20.0  # each call connects
_KINDS = {
    pb.RESOURCE_KIND_PORT: "port",
    pb.RESOURCE_KIND_CAMERA: "camera",
    pb.RESOURCE_KIND_DEVICE: "device",
}
_RIGHTS = {
    pb.RIGHT_VIEW: "view",
    pb.RIGHT_STOP: "stop",
    pb.RIGHT_CONTROL: "control",
    pb.RIGHT_ADMIN: "admin",
}


@dataclass(frozen=True, slots=True)
class OwnRights:
    """What this computer may do with one port or camera; `to_confirm` only after a code."""

    kind: str
    id: str
    rights: tuple[str, ...]
    to_confirm: tuple[str, ...]
    until: datetime | None


@dataclass(frozen=True, slots=True)
class WhoAmI:
    """What a service takes this computer for."""

    identity: str
    rights: tuple[OwnRights, ...]
    certificate_end: datetime | None
    confirmed_until: datetime | None


async def who_am_i(target: Target, bundle: ClientBundle | None) -> WhoAmI:
    """Return who a service takes us for and what we may do there; raises UsbshareError."""
    start = time.monotonic()
    async with open_channel(target, bundle, keepalive=QUIET_KEEPALIVE) as channel:
        try:
            answer = await AccessServiceStub(channel).WhoAmI(
                pb.WhoAmIRequest(), timeout=CALL_TIMEOUT_S
            )
        except grpc.aio.AioRpcError as error:
            raise await explained(error, target, bundle, start) from error
    return as_who_am_i(answer)


def as_who_am_i(answer: pb.WhoAmIResponse) -> WhoAmI:
    """Return what an answer says."""
    return WhoAmI(
        answer.identity,
        tuple(map(_own_rights, answer.grants)),
        _moment(answer.certificate_end_time),
        _moment(answer.confirmed_until_time),
    )


async def confirm(target: Target, bundle: ClientBundle | None, code: str) -> datetime:
    """Prove the second factor; returns until when it counts. Raises UsbshareError."""
    start = time.monotonic()
    async with open_channel(target, bundle, keepalive=QUIET_KEEPALIVE) as channel:
        try:
            answer = await AccessServiceStub(channel).Confirm(
                pb.ConfirmRequest(code=code), timeout=CALL_TIMEOUT_S
            )
        except grpc.aio.AioRpcError as error:
            raise await explained(error, target, bundle, start) from error
    return answer.until_time.ToDatetime(UTC)


async def explained(
    error: grpc.aio.AioRpcError, target: Target, bundle: ClientBundle | None, start: float
) -> UsbshareError:
    """Return why a call failed that began at monotonic time `start`.

    Probes a host that was not reached.
    """
    found = error_from_rpc(error)
    if not isinstance(found, ConnectionRefusedByPeerError):
        return found
    from usbshare.handshakes.unreachable import why_unreachable  # noqa: PLC0415 - it loads half of TLS

    left_s = max(1.0, CALL_TIMEOUT_S - (time.monotonic() - start))
    why = await why_unreachable(target, bundle, left_s)
    return ConnectionRefusedByPeerError(why or f"{target}: {found}")


def _own_rights(grant: pb.Grant) -> OwnRights:
    return OwnRights(
        _KINDS.get(grant.kind, "service"),
        grant.id,
        _names(grant.rights),
        _names(grant.to_confirm),
        _moment(grant.until_time),
    )


def _names(rights: Iterable[int]) -> tuple[str, ...]:
    held = set(rights)
    return tuple(name for right, name in _RIGHTS.items() if right in held)


def _moment(timestamp: Timestamp) -> datetime | None:
    return timestamp.ToDatetime(UTC) if timestamp != Timestamp() else None
