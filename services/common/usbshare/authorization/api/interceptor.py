"""Asks the gate about every RPC, before its servicer sees anything of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import grpc

from usbshare.authorization.api.requirements import Requirement, requirement_of
from usbshare.authorization.connections import Sightings
from usbshare.authorization.denials import Refusals
from usbshare.authorization.gate import Gate
from usbshare.authorization.limits import Limits
from usbshare.authorization.rights import SERVICE, SITE, Resource, ResourceKind, Right, shown_id
from usbshare.base.errors import (
    AuditUnavailableError,
    ConfirmationNeededError,
    LimitError,
    NotFoundError,
    PermissionDeniedError,
    RulesUnavailableError,
    UsbshareError,
)
from usbshare.base.fair_turns import Turns
from usbshare.rpc.identity import INSECURE, Identity, peer_address
from usbshare.rpc.interceptors import (
    Behaviour,
    Context,
    Handler,
    run_single,
    run_stream,
    wrapped,
)

# Counts what was read (messages, bytes); returns for how many seconds to read nothing more.
Pace = Callable[[int, int], float]
# What is read of a stream within this time is counted together, if it is no more than this.
COUNT_EVERY_S = 0.005
MOST_UNCOUNTED_BYTES = 16 * 1024


class PacedContext:
    """A servicer's context; `read` waits before it reads on, not before it returns what it read.

    What the client sends meanwhile fills HTTP/2's window, and then waits at the client. Requests
    that come close together are counted together, the last ones by `settle`.
    """

    def __init__(
        self,
        context: grpc.aio.ServicerContext[Any, Any],
        pace: Pace,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._context = context
        self._pace = pace
        self._clock = clock
        self._requests = self._bytes = 0
        self._count_at = float("-inf")
        self._read = context.read
        self.write = context.write

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    async def read(self) -> Any:
        """Return the next request, or EOF."""
        # Counted once it has been handled: what it asks for does not wait for that.
        if self._requests:
            now = self._clock()
            if now >= self._count_at or self._bytes >= MOST_UNCOUNTED_BYTES:
                self._count_at = now + COUNT_EVERY_S
                if wait_s := self.settle():
                    await asyncio.sleep(wait_s)
        request = await self._read()
        if request is not grpc.aio.EOF:
            self._requests += 1
            self._bytes += request.ByteSize()
        return request

    def settle(self) -> float:
        """Count what was read and is not counted; return for how many seconds to read no more."""
        if not self._requests:
            return 0.0
        requests, size_bytes = self._requests, self._bytes
        self._requests = self._bytes = 0
        return self._pace(requests, size_bytes)


async def paced_requests(requests: AsyncIterator[Any], pace: Pace) -> AsyncIterator[Any]:
    """Give a stream's requests, waiting before each where the one before came early."""
    async for request in requests:
        wait_s = pace(1, request.ByteSize())
        yield request
        if wait_s:
            await asyncio.sleep(wait_s)


# Returns the id that an empty one stands for when the caller says it, empty if it stands for all.
Resolve = Callable[[ResourceKind, Identity], str]
# Returns the port of a job by its number; None where there is no such job.
PortOfJob = Callable[[int], str | None]
LONGEST_HEARING_S = 0.5
_REFUSED = (
    PermissionDeniedError,
    ConfirmationNeededError,
    AuditUnavailableError,
    RulesUnavailableError,
    LimitError,
)


class AccessInterceptor(grpc.aio.ServerInterceptor):
    """Lets through who may; streams end when the right does.

    A request that names a port or camera needs the right on that one. A stream of requests names
    it later: its servicer asks for the right on it, here it is the right on any.
    """

    def __init__(
        self,
        gate: Gate,
        limits: Limits,
        seen: Sightings,
        refusals: Refusals,
        resolve: Resolve,
        port_of_job: PortOfJob = lambda _: None,
    ) -> None:
        self._gate = gate
        self._limits = limits
        self._seen = seen
        self._refusals = refusals
        self._resolve = resolve
        self._port_of_job = port_of_job
        self._turns = Turns()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Wrap the method's handler, if there is such a method."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        return wrapped(handler, self._guarding(handler_call_details.method, handler))

    def _guarding(self, method: str, handler: Handler) -> Callable[[Behaviour], Behaviour]:
        serve = self._stream if handler.response_streaming else self._single

        def guard(behaviour: Behaviour) -> Behaviour:
            async def call(request: Any, context: Context) -> Any:
                rpc = _Rpc(method, behaviour, None if handler.request_streaming else request)
                try:
                    return await serve(rpc, request, context)
                except _REFUSED as error:
                    self._note(error, rpc, context)
                    if rpc.named_by is None and not rpc.has_begun:
                        await _hear(context)
                    raise

            return call

        return guard

    async def _single(self, rpc: _Rpc, request: Any, context: Context) -> Any:
        needed = await self._admit(rpc, context)
        caller, resource = rpc.admitted, self._resource(needed, rpc)
        if rpc.named_by is None:
            async with self._gate.permit(caller, needed.right, resource, arms=needed.arms):
                rpc.has_begun = True
                return await run_single(rpc.behaviour, request, context)
        self._gate.check(caller, needed.right, resource, arms=needed.arms)
        return await run_single(rpc.behaviour, request, context)

    async def _stream(self, rpc: _Rpc, request: Any, context: Context) -> None:
        needed = await self._admit(rpc, context)
        caller, resource = rpc.admitted, self._resource(needed, rpc)
        async with self._gate.permit(caller, needed.right, resource, arms=needed.arms):
            if caller.name == INSECURE:
                rpc.has_begun = True
                await run_stream(rpc.behaviour, request, context)
                return
            with self._limits.open_stream(caller.name, caller.address):
                rpc.has_begun = True
                if rpc.named_by is not None:
                    await run_stream(rpc.behaviour, request, context)
                    return
                pace = partial(self._limits.pace, caller.name)
                paced = PacedContext(context, pace)
                try:
                    requests = paced_requests(request, pace)
                    await run_stream(rpc.behaviour, requests, cast("Context", paced))
                finally:
                    paced.settle()

    async def _admit(self, rpc: _Rpc, context: Context) -> Requirement:
        """Identify the caller, within its limits, and what that needs.

        A revoked certificate is within them too, but takes nothing from stops of the same name.
        Of what is not urgent a few begin in each round of the event loop.
        """
        rpc.caller = caller = self._gate.identity(context)
        requirement = requirement_of(rpc.method)
        if requirement is None:
            raise PermissionDeniedError(f"no permission is declared for {rpc.method}; refusing it")
        needed = requirement if rpc.named_by is None else requirement.of(rpc.named_by)
        if needed.urgent:
            self._gate.require_valid(caller)
            await self._count(caller, rpc.method)
        else:
            await self._turns.take()
            await self._count(caller)
            self._gate.require_valid(caller)
        if caller.name != INSECURE:
            self._seen.note(caller.name, caller.address, caller.fingerprint)
        return needed

    async def _count(self, caller: Identity, lane: str = "") -> None:
        if caller.name != INSECURE:
            await self._limits.admit_request(caller.name, lane)

    def _resource(self, needed: Requirement, rpc: _Rpc) -> Resource:
        if needed.kind is ResourceKind.SERVICE:
            return SERVICE
        if needed.kind is ResourceKind.SITE:
            return SITE
        if rpc.named_by is None:
            return Resource(needed.kind)
        named = needed.resource_id(rpc.named_by)
        if needed.kind is ResourceKind.JOB:
            return self._resource_of_job(named, needed, rpc)
        rpc.resource_id = named or self._resolve(needed.kind, rpc.admitted)
        return Resource(needed.kind, rpc.resource_id)

    def _resource_of_job(self, job_id: str, needed: Requirement, rpc: _Rpc) -> Resource:
        """Return the port of a job; one of a port that the caller may not know of is not there."""
        rpc.resource_id = self._port_of_job(int(job_id)) or ""
        port = Resource(ResourceKind.PORT, rpc.resource_id)
        if rpc.resource_id and self._gate.may(rpc.admitted, Right.STOP, port):
            return port
        rpc.resource_id = ""
        # Who may do that on no port at all is refused, whether there is such a job or not.
        self._gate.check(rpc.admitted, needed.right, Resource(ResourceKind.PORT))
        raise NotFoundError(f"there is no job {job_id} here")

    def _note(self, error: UsbshareError, rpc: _Rpc, context: Context) -> None:
        self._refusals.note(
            error,
            who="" if rpc.caller is None else rpc.caller.name,
            address=peer_address(context),
            method=rpc.method.rpartition("/")[2],
            port=shown_id(rpc.resource_id) or error.about,
        )


@dataclass(slots=True)
class _Rpc:
    """One call; `named_by` is the request that names its resource, None in a stream of them."""

    method: str
    behaviour: Behaviour
    named_by: Any
    caller: Identity | None = None
    resource_id: str = ""
    has_begun: bool = False

    @property
    def admitted(self) -> Identity:
        if self.caller is None:
            raise RuntimeError("the caller is not authenticated yet")
        return self.caller


async def _hear(context: Context) -> None:
    """Take a stream's first message: gRPC's client that fails to write it never reads a status."""
    with suppress(TimeoutError):
        async with asyncio.timeout(LONGEST_HEARING_S):
            await context.read()
