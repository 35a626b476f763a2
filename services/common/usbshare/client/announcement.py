"""Registers a service with the discovery service of its computer, if there is one."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Sequence
from contextlib import suppress

import grpc
from google.protobuf.duration_pb2 import Duration

from usbshare.base.addresses import parse_address, split_host_port
from usbshare.base.backoff import Backoff
from usbshare.base.errors import ConfigError
from usbshare.base.usual_ports import DISCOVERY_PORT
from usbshare.base.waits import set_within
from usbshare.discovery.v1 import discovery_pb2 as pb
from usbshare.discovery.v1.discovery_pb2_grpc import DiscoveryServiceStub
from usbshare.hosts.instance import Endpoint
from usbshare.hosts.reachability import is_reachable
from usbshare.hosts.settings import DiscoveryTable
from usbshare.hosts.via.kind_codes import CODE_OF_KIND
from usbshare.rpc.channel import QUIET_KEEPALIVE, Target, open_channel
from usbshare.rpc.status import error_from_rpc
from usbshare.rpc.stream_writes import write
from usbshare.rpc.tls import ClientBundle
from usbshare.trust.site import Site

_log = logging.getLogger(__name__)
_Call = grpc.aio.StreamStreamCall[pb.AnnounceRequest, pb.AnnounceResponse]

TTL_S, RENEW_S = 30, 10.0
ANSWER_TIMEOUT_S = 20.0  # a stalled service answers later, and more attempts no sooner
KNOCK_TIMEOUT_S = 1.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 5.0


class Announcing:
    """Keeps one service registered while `run` is awaited; never in anybody's way."""

    def __init__(self, target: Target, site: Site, endpoint: Endpoint) -> None:
        self.target = target
        self._site = site
        self._endpoint = endpoint
        self._port_ids: tuple[str, ...] = ()
        self._news = asyncio.Event()
        self._trouble = ""

    def has_ports(self, port_ids: Sequence[str]) -> None:
        """Set which serial ports there are now."""
        if tuple(port_ids) != self._port_ids:
            self._port_ids = tuple(port_ids)
            self._news.set()

    async def run(self) -> None:
        """Register, again whenever the discovery service comes back, until cancelled."""
        backoff = Backoff(random.random, FIRST_PAUSE_S, LONGEST_PAUSE_S)
        while True:
            try:
                if await self._attempt():
                    backoff.reset()
            except Exception as error:  # a job may be running here: it must not end for this
                _log.debug("could not register", exc_info=True)
                self._say(f"{type(error).__name__}: {error}")
            await asyncio.sleep(backoff.next_s())

    async def _attempt(self) -> bool:
        """Keep a registration for as long as it lasts; return whether there was one."""
        if not await _is_open(self.target):  # the usual case: nothing of gRPC's is started for it
            return False
        if (bundle := _own_bundle(self._site)) is None:
            self._say("there is no certificate for this computer's services")
            return False
        name = ""
        channel = open_channel(self.target, bundle, keepalive=QUIET_KEEPALIVE)
        try:
            call = DiscoveryServiceStub(channel).Announce()
            call.add_done_callback(lambda _: self._news.set())
            while True:
                name = await self._tell(call, name)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError, TimeoutError) as error:
            self._lost(error, name)
        finally:
            await channel.close()
        return bool(name)

    async def _tell(self, call: _Call, name: str) -> str:
        """Register or renew, then wait until there is something to report; return our name."""
        self._news.clear()
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            await write(call, self._request())
            response = await call.read()
        if not isinstance(response, pb.AnnounceResponse):
            raise asyncio.InvalidStateError
        self._trouble = ""
        if response.name != name:
            _log.info("announced as %r by the discovery service at %s", response.name, self.target)
        await set_within(self._news, RENEW_S)
        return response.name

    def _request(self) -> pb.AnnounceRequest:
        return pb.AnnounceRequest(
            endpoints=[
                pb.Endpoint(kind=CODE_OF_KIND[self._endpoint.kind], port=self._endpoint.port)
            ],
            port_ids=self._port_ids,
            ttl=Duration(seconds=TTL_S),
        )

    def _lost(self, error: Exception, name: str) -> None:
        why = error_from_rpc(error) if isinstance(error, grpc.aio.AioRpcError) else "no answer"
        if name:
            _log.info("no longer announced by the discovery service at %s", self.target)
            _log.debug("it ended the registration: %s", why)
        else:
            self._say(str(why))

    def _say(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            _log.info("not announced by the discovery service at %s: %s", self.target, trouble)


def announcing(
    settings: DiscoveryTable, site: Site | None, listen: str, endpoint: Endpoint
) -> Announcing | None:
    """Return what registers a service that listens there; None if it must not be announced.

    A discovery service takes registrations only from clients of its site, which is this one's.
    """
    host, _ = split_host_port(listen, 0)
    if site is None:
        _log.debug("not announced: plaintext is for this computer only")
    elif not is_reachable(host, settings.chosen_interfaces):
        _log.debug("not announced: %s is for this computer only", listen)
    else:
        return Announcing(_discovery_service(settings), site, endpoint)
    return None


def _own_bundle(site: Site) -> ClientBundle | None:
    try:
        return ClientBundle.load(site.host_bundle)
    except ConfigError:
        return None


def _discovery_service(settings: DiscoveryTable) -> Target:
    host, port = split_host_port(settings.listen, DISCOVERY_PORT)
    address = parse_address(host)
    is_any = address is not None and address.is_unspecified
    return Target("127.0.0.1" if is_any else host, port)


async def _is_open(target: Target) -> bool:
    try:
        async with asyncio.timeout(KNOCK_TIMEOUT_S):
            _, writer = await asyncio.open_connection(target.host, target.port)
    except OSError:  # TimeoutError too
        return False
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return True
