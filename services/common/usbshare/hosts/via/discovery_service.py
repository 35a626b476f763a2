"""What another computer's discovery service sees, taken into the catalogue."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Iterator
from itertools import islice

import grpc

from usbshare.base.addresses import is_dns_name, parse_address
from usbshare.base.backoff import Backoff
from usbshare.base.errors import UsbshareError
from usbshare.base.terminal_safe_text import clean_name, clean_text
from usbshare.discovery.v1 import discovery_pb2 as pb
from usbshare.discovery.v1.discovery_pb2_grpc import DiscoveryServiceStub
from usbshare.hosts import untrusted
from usbshare.hosts.catalogue import Catalogue
from usbshare.hosts.instance import Endpoint, Instance, Observation, Source
from usbshare.hosts.reachability import is_loopback_host
from usbshare.hosts.via.kind_codes import KIND_OF_CODE
from usbshare.rpc.channel import QUIET_KEEPALIVE, Target, open_channel
from usbshare.rpc.other_service import DISCOVERY_SERVICE, name_other_service
from usbshare.rpc.status import error_from_rpc, is_of_another_service
from usbshare.rpc.stream_writes import write
from usbshare.rpc.tls import ClientBundle

_log = logging.getLogger(__name__)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 5.0
KEEP_S = 30.0  # how long a report is valid after the connection to its reporter was lost
MOST_INSTANCES = 512
MOST_ADDRESSES = 16
MOST_HOST_BYTES = 253


class ViaSource:
    """Watches one discovery service, again and again, until cancelled."""

    def __init__(self, target: Target, bundle: ClientBundle | None, catalogue: Catalogue) -> None:
        self._target = target
        self._bundle = bundle
        self._catalogue = catalogue
        self._known: set[str] = set()
        self._trouble = ""

    async def run(self) -> None:
        """Watch until cancelled; what prevents it is reported once."""
        backoff = Backoff(random.random, FIRST_PAUSE_S, LONGEST_PAUSE_S)
        told_at = self._catalogue.clock()
        while True:
            if await self._attempt():
                backoff.reset()
                told_at = self._catalogue.clock()
            elif self._catalogue.clock() - told_at > KEEP_S:
                self._keep_only(set())
            await asyncio.sleep(backoff.next_s())

    async def _attempt(self) -> bool:
        """Watch until the stream ends; return whether it reported anything."""
        has_told = False
        channel = open_channel(self._target, self._bundle, keepalive=QUIET_KEEPALIVE)
        try:
            call = DiscoveryServiceStub(channel).Watch()
            await write(call, pb.WatchRequest())
            while isinstance(response := await call.read(), pb.WatchResponse):
                has_told = True
                self._take(response)
        except grpc.aio.AioRpcError as error:
            self._say(str(await self._explained(error)))
        except asyncio.InvalidStateError:  # the call was over before the request was written
            self._say("it ended the stream")
        finally:
            await channel.close()
        return has_told

    async def _explained(self, error: grpc.aio.AioRpcError) -> UsbshareError:
        if is_of_another_service(error):
            return await name_other_service(self._target, self._bundle, DISCOVERY_SERVICE)
        return error_from_rpc(error)

    def _take(self, response: pb.WatchResponse) -> None:
        if self._trouble:
            self._trouble = ""
            _log.info("the discovery service at %s answers again", self._target)
        match response.WhichOneof("event"):
            case "snapshot":
                told = response.snapshot.instances
                self._keep_only({self._observe(each) for each in islice(told, MOST_INSTANCES)})
            case "added":
                self._observe(response.added)
            case "updated":
                self._observe(response.updated)
            case "removed":
                self._forget(self._key(response.removed))

    def _observe(self, message: pb.Instance) -> str:
        key, instance = self._key(message), _instance(message, self._target.host)
        if instance is None or (len(self._known) >= MOST_INSTANCES and key not in self._known):
            return key
        self._catalogue.observe(Observation(Source.VIA, key, instance))
        self._known.add(key)
        return key

    def _keep_only(self, keys: set[str]) -> None:
        for key in self._known - keys:
            self._forget(key)

    def _forget(self, key: str) -> None:
        self._known.discard(key)
        self._catalogue.forget(Source.VIA, key)

    def _key(self, message: pb.Instance) -> str:
        return f"{self._target}/{message.id[:64]}"

    def _say(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            _log.warning("cannot query the discovery service at %s: %s", self._target, trouble)


def _instance(message: pb.Instance, teller: str) -> Instance | None:
    """Return what was reported, sanitised; None if nothing of it could be used."""
    name = clean_name(message.name)
    kinds = {each.kind: untrusted.tcp_port(each.port) for each in message.endpoints}
    endpoints = [
        Endpoint(kind, kinds[code]) for code, kind in KIND_OF_CODE.items() if kinds.get(code)
    ]
    addresses = tuple(_addresses(message, teller))
    if not (name and endpoints and addresses):
        return None
    return Instance(
        name=name,
        addresses=addresses,
        endpoints=tuple(endpoints),
        host=clean_text(message.host, MOST_HOST_BYTES),
        port_ids=untrusted.port_ids(message.port_ids),
        tls=message.tls,
        site=untrusted.site(message.site),
        version=untrusted.version(message.version),
    )


def _addresses(message: pb.Instance, teller: str) -> Iterator[str]:
    """Yield the addresses that mean the same here as there, else that of the reporter itself."""
    told = [each for each in islice(message.addresses, MOST_ADDRESSES) if _is_address(each)]
    useful = [each for each in told if is_loopback_host(teller) or not is_loopback_host(each)]
    yield from useful
    if not useful and pb.SOURCE_LOCAL in message.sources:
        yield teller


def _is_address(text: str) -> bool:
    return is_dns_name(text) or (parse_address(text) is not None and "%" not in text)
