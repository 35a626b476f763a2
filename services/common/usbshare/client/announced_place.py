"""Where a service of a host listens: as its discovery service announces, else as usual."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import grpc

from usbshare.base.usual_ports import DISCOVERY_PORT
from usbshare.discovery.v1 import discovery_pb2 as pb
from usbshare.discovery.v1.discovery_pb2_grpc import DiscoveryServiceStub
from usbshare.hosts import untrusted
from usbshare.hosts.instance import USUAL_PORTS, Kind
from usbshare.hosts.via.kind_codes import CODE_OF_KIND
from usbshare.rpc.channel import QUIET_KEEPALIVE, Target, open_channel
from usbshare.rpc.stream_writes import write
from usbshare.rpc.tls import ClientBundle

# A host may well have no discovery service, or a firewall that drops what is sent to it.
ASK_S = 1.0


async def announced_place(
    kind: Kind, host: Target, bundle: ClientBundle | None, discovery_port: int = DISCOVERY_PORT
) -> Target:
    """Return where a host's service of a kind is, of which any service is known; within 1 s."""
    there = replace(host, port=discovery_port)
    try:
        async with asyncio.timeout(ASK_S):
            port = await _announced_port(kind, there, bundle)
    except (grpc.aio.AioRpcError, asyncio.InvalidStateError, TimeoutError, ValueError):
        port = 0
    return replace(host, port=port or USUAL_PORTS[kind])


async def _announced_port(kind: Kind, discovery: Target, bundle: ClientBundle | None) -> int:
    """Return the port of that service that a discovery service's own host announces, else 0."""
    code = CODE_OF_KIND[kind]
    async with open_channel(discovery, bundle, keepalive=QUIET_KEEPALIVE) as channel:
        call = DiscoveryServiceStub(channel).Watch()
        await write(call, pb.WatchRequest(filter=pb.Filter(kind=code)))
        response = await call.read()
        call.cancel()
    if not isinstance(response, pb.WatchResponse):
        return 0
    own = (each for each in response.snapshot.instances if pb.SOURCE_LOCAL in each.sources)
    ports = (each.port for one in own for each in one.endpoints if each.kind == code)
    return untrusted.tcp_port(next(ports, 0))
