"""The counters of another computer's discovery service."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from usbshare.base.errors import ConnectionRefusedByPeerError, UsbshareError
from usbshare.discovery.v1 import discovery_pb2 as pb
from usbshare.discovery.v1.discovery_pb2_grpc import DiscoveryServiceStub
from usbshare.handshakes.unreachable import why_unreachable
from usbshare.hosts.counters import SourceReport, SourceStats
from usbshare.hosts.instance import Source
from usbshare.rpc.channel import Target, open_channel
from usbshare.rpc.other_service import DISCOVERY_SERVICE, name_other_service
from usbshare.rpc.status import error_from_rpc, is_of_another_service
from usbshare.rpc.tls import ClientBundle

_SOURCES = {
    pb.SOURCE_MDNS: Source.MDNS,
    pb.SOURCE_BEACON: Source.BEACON,
    pb.SOURCE_STATIC: Source.STATIC,
    pb.SOURCE_LOCAL: Source.LOCAL,
}


async def remote_stats(
    target: Target, bundle: ClientBundle | None, timeout_s: float
) -> list[SourceReport]:
    """Return the counters; raises UsbshareError."""
    request = pb.GetStatsRequest()
    return await _ask(target, bundle, lambda stub: stub.GetStats(request, timeout=timeout_s))


async def reset_remote_stats(
    target: Target, bundle: ClientBundle | None, timeout_s: float
) -> list[SourceReport]:
    """Set the counters to zero and return what they were; raises UsbshareError."""
    request = pb.ResetStatsRequest()
    return await _ask(target, bundle, lambda stub: stub.ResetStats(request, timeout=timeout_s))


async def why_not(target: Target, bundle: ClientBundle | None) -> UsbshareError | None:
    """Return why a discovery service cannot be asked, None if it can."""
    why = await why_unreachable(target, bundle)
    return ConnectionRefusedByPeerError(why) if why else None


async def _ask(
    target: Target, bundle: ClientBundle | None, call: Callable[[Any], Awaitable[Any]]
) -> list[SourceReport]:
    async with open_channel(target, bundle) as channel:
        try:
            reply = await call(DiscoveryServiceStub(channel))
        except grpc.aio.AioRpcError as error:
            raise await _explained(error, target, bundle) from error
    return [_report(each) for each in reply.sources if each.source in _SOURCES]


async def _explained(
    error: grpc.aio.AioRpcError, target: Target, bundle: ClientBundle | None
) -> UsbshareError:
    if is_of_another_service(error):
        return await name_other_service(target, bundle, DISCOVERY_SERVICE)
    explained = error_from_rpc(error)
    if not isinstance(explained, ConnectionRefusedByPeerError):
        return explained
    return await why_not(target, bundle) or explained


def _report(message: pb.SourceStats) -> SourceReport:
    stats = SourceStats(
        sent_packets=message.sent_packets,
        sent_bytes=message.sent_bytes,
        received_packets=message.received_packets,
        received_bytes=message.received_bytes,
        errors=message.errors,
        uptime_s=message.uptime.seconds + message.uptime.nanos * 1e-9,
        received_packets_per_s=message.received_packets_per_s,
    )
    return SourceReport(_SOURCES[message.source], stats, message.active_instances)
