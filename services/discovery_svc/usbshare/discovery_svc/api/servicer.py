"""The discovery service's RPCs: unpack, one call, pack."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc

from usbshare.audit.recorder import Audit, NullAudit
from usbshare.authorization.gate import Gate
from usbshare.authorization.rights import Resource, ResourceKind, Right
from usbshare.base.errors import LimitError, SessionLostError
from usbshare.base.watched_task import run_until
from usbshare.discovery.v1 import discovery_pb2 as pb
from usbshare.discovery.v1.discovery_pb2_grpc import DiscoveryServiceServicer
from usbshare.discovery_svc.api import convert
from usbshare.discovery_svc.api.convert import InstanceWriter
from usbshare.discovery_svc.registrations import Lease, Registrations, require_own_host
from usbshare.hosts import watch as watching
from usbshare.hosts.finder import Finder
from usbshare.rpc.first_message import begin_answers
from usbshare.rpc.identity import Identity

SERVICE_NAME = "usbshare.discovery.v1.DiscoveryService"
Context = grpc.aio.ServicerContext[Any, Any]
MOST_WATCHES = 256
FIRST_REQUEST_TIMEOUT_S = 30.0


class DiscoveryServicer(DiscoveryServiceServicer):
    """Maps RPCs to the catalogue and to this host's registrations."""

    def __init__(
        self,
        finder: Finder,
        registrations: Registrations,
        writer: InstanceWriter,
        own_name: Callable[[], str],
        gate: Gate,
        audit: Audit | None = None,
    ) -> None:
        self._finder = finder
        self._registrations = registrations
        self._writer = writer
        self._own_name = own_name
        self._gate = gate
        self._audit = audit or NullAudit()
        self._watches = 0
        self._ending = asyncio.Event()

    async def close(self) -> None:
        """End every watch, as a service that stops does."""
        self._ending.set()

    async def ListInstances(
        self, request: pb.ListInstancesRequest, context: Context
    ) -> pb.ListInstancesResponse:
        """List what matches, after a look at those not heard of lately."""
        chosen = convert.filter_of(request.filter)
        await self._finder.liveness.confirm()
        entries = self._finder.catalogue.entries(chosen)
        instances = self._writer.instances(entries, self._may_view(context))
        return pb.ListInstancesResponse(instances=instances)

    async def Watch(  # type: ignore[override]  # the stub knows only generators
        self, request_iterator: AsyncIterator[pb.WatchRequest], context: Context
    ) -> None:
        """Stream the matching hosts and their changes; raises LimitError for too many streams."""
        first = await context.read()
        if first is grpc.aio.EOF:
            return
        await begin_answers(context)
        if self._watches >= MOST_WATCHES:
            raise LimitError(f"{MOST_WATCHES} clients are already watching")
        self._watches += 1
        try:
            with watching.Watch(self._finder.catalogue, convert.filter_of(first.filter)) as watch:
                await self._serve_watch(watch, context)
        finally:
            self._watches -= 1

    async def Announce(  # type: ignore[override]  # the stub knows only generators
        self, request_iterator: AsyncIterator[pb.AnnounceRequest], context: Context
    ) -> None:
        """Register services until the stream ends or is not renewed in time."""
        identity = self._gate.caller(context)
        require_own_host(identity.address)
        first = await _read_within(context, FIRST_REQUEST_TIMEOUT_S, "no registration arrived")
        if first is grpc.aio.EOF:
            return
        await begin_answers(context)
        offer, ttl_s = convert.offer_of(first), convert.ttl_s(first)
        lease = self._registrations.take(identity.name, offer, ttl_s)
        self._note("announced", identity, lease)
        try:
            await self._keep(lease, context)
        finally:
            self._registrations.end(lease)
            self._note("announcement ended", identity, lease)

    async def GetStats(self, request: pb.GetStatsRequest, context: Context) -> pb.GetStatsResponse:
        """Return the counters of each source."""
        finder = self._finder
        sources = convert.stats_messages(finder.stats(), finder.active_instances())
        return pb.GetStatsResponse(sources=sources)

    async def ResetStats(
        self, request: pb.ResetStatsRequest, context: Context
    ) -> pb.ResetStatsResponse:
        """Set the counters to zero; return what they were."""
        finder = self._finder
        sources = convert.stats_messages(finder.reset_stats(), finder.active_instances())
        caller = self._gate.caller(context)
        self._audit.note("counters reset", who=caller.name, address=caller.address)
        return pb.ResetStatsResponse(sources=sources)

    def _note(self, event: str, caller: Identity, lease: Lease) -> None:
        services = {each.kind.value: each.port for each in lease.offer.endpoints}
        self._audit.note(event, who=caller.name, address=caller.address, services=services)

    async def _serve_watch(self, watch: watching.Watch, context: Context) -> None:
        changes, filters = self._write_changes(watch, context), _read_filters(watch, context)
        await run_until(self._ending, write_changes=changes, read_filters=filters)

    async def _write_changes(self, watch: watching.Watch, context: Context) -> None:
        may_view = self._may_view(context)
        async for change in watch:
            await context.write(self._writer.watch_response(change, may_view))

    def _may_view(self, context: Context) -> Callable[[str], bool]:
        """Return what decides whether the caller may view a port of this host."""
        caller = self._gate.caller(context)
        return lambda port: self._gate.may(caller, Right.VIEW, Resource(ResourceKind.PORT, port))

    async def _keep(self, lease: Lease, context: Context) -> None:
        while True:
            await context.write(convert.announce_response(self._own_name(), lease.ttl_s))
            left_s = self._registrations.left_s(lease)
            request = await _read_within(
                context, left_s, f"the registration was not renewed within {lease.ttl_s:g} s"
            )
            if request is grpc.aio.EOF:
                return
            self._registrations.renew(lease, convert.offer_of(request), convert.ttl_s(request))


async def _read_filters(watch: watching.Watch, context: Context) -> None:
    """Set filters as they arrive; never ends first, a client may send everything at once."""
    while (request := await context.read()) is not grpc.aio.EOF:
        watch.set_filter(convert.filter_of(request.filter))
    await asyncio.get_running_loop().create_future()


async def _read_within(context: Context, timeout_s: float, otherwise: str) -> Any:
    try:
        async with asyncio.timeout(timeout_s):
            return await context.read()
    except TimeoutError as error:
        raise SessionLostError(otherwise) from error
