"""One look at one host: does anything that it offers still answer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from usbshare.base.adaptive_timeout import Patience
from usbshare.base.addresses import parse_address
from usbshare.base.watched_task import cancel_all
from usbshare.hosts.instance import Endpoint, Instance, Kind
from usbshare.rpc.channel import QUIET_KEEPALIVE, Target, open_channel
from usbshare.rpc.tls import ClientBundle

PROBE_TIMEOUT_S = 2.0
MOST_ADDRESSES = 8

# Asked first: its server, unlike the serial service's, sends no pings on an idle connection.
_ORDER = (Kind.DISCOVERY, Kind.SERIAL, Kind.CAMERA, Kind.JOB, Kind.USB)


class HostProbe:
    """Looks at one host again and again, over a connection that it keeps where the host allows.

    A host of the own site is asked for its health; others are only connected to.
    """

    def __init__(self, bundle: ClientBundle | None) -> None:
        self._bundle = bundle
        self._sites = bundle.sites if bundle else ()
        self._kept: tuple[Target, grpc.aio.Channel] | None = None
        self._is_refused = False

    async def answers(self, instance: Instance, attempts: int = 2) -> bool:
        """Return whether the host answers; the second attempt tries all of its services.

        Each takes up to 2 s, or eight round trips of a host that takes a connection.
        """
        endpoints = _in_order(instance.endpoints)
        if await self._attempt(instance, endpoints[:1]):
            return True
        return attempts > 1 and await self._attempt(instance, endpoints)

    async def close(self) -> None:
        """Close the connection."""
        if self._kept is not None:
            _, channel = self._kept
            self._kept = None
            await channel.close()

    async def _attempt(self, instance: Instance, endpoints: Iterable[Endpoint]) -> bool:
        targets = _targets(instance.addresses, endpoints)
        patience = Patience(PROBE_TIMEOUT_S)
        try:
            async with asyncio.timeout(patience.left_s):
                if self._kept is not None and self._kept[0] in targets:
                    return await self._still_answers(self._kept[1])
                await self.close()
                target = await _first_to_connect(targets, patience)
            async with asyncio.timeout(patience.left_s):
                return target is not None and await self._lives(instance, target)
        except TimeoutError:
            await self.close()
            return False

    async def _still_answers(self, channel: grpc.aio.Channel) -> bool:
        if await _health(channel) in {None, grpc.StatusCode.UNAVAILABLE}:
            await self.close()
            return False
        return True

    async def _lives(self, instance: Instance, target: Target) -> bool:
        """Ask what accepted our connection; even one that refuses us is there."""
        if not self._is_ours(instance, target):
            return True
        bundle = self._bundle if instance.tls else None
        channel = open_channel(target, bundle, keepalive=QUIET_KEEPALIVE)
        self._kept = (target, channel)
        status = await _health(channel)
        if status is grpc.StatusCode.UNAVAILABLE:
            self._is_refused = True
            await self.close()
        return status is not None

    def _is_ours(self, instance: Instance, target: Target) -> bool:
        address = parse_address(target.host)
        if self._is_refused or address is None or "%" in target.host:
            return False
        if not instance.tls:
            return address.is_loopback
        return instance.site in self._sites


async def _health(channel: grpc.aio.Channel) -> grpc.StatusCode | None:
    """Return how a health call ended."""
    stub = health_pb2_grpc.HealthStub(channel)
    try:
        request = health_pb2.HealthCheckRequest()
        await stub.Check(request)  # type: ignore[attr-defined]  # within the attempt's time
    except grpc.aio.AioRpcError as error:
        code: grpc.StatusCode = error.code()
        return None if code is grpc.StatusCode.DEADLINE_EXCEEDED else code
    return grpc.StatusCode.OK


async def _first_to_connect(targets: Iterable[Target], patience: Patience) -> Target | None:
    """Connect to all of them at once; return the first that takes it, None if none does."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    tasks = [asyncio.create_task(_connects(target)) for target in targets]
    try:
        for next_done in asyncio.as_completed(tasks):
            if (target := await next_done) is not None:
                patience.answered(loop.time() - started)
                return target
        return None
    finally:
        await cancel_all(*tasks)


async def _connects(target: Target) -> Target | None:
    try:
        _, writer = await asyncio.open_connection(target.host, target.port)
    except (OSError, UnicodeError):
        return None
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return target


def _targets(addresses: Iterable[str], endpoints: Iterable[Endpoint]) -> list[Target]:
    chosen = list(addresses)[:MOST_ADDRESSES]
    return [Target(address, each.port) for each in endpoints for address in chosen]


def _in_order(endpoints: Iterable[Endpoint]) -> list[Endpoint]:
    return sorted(endpoints, key=lambda each: _ORDER.index(each.kind))
