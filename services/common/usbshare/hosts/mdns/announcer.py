"""Claims a name on the network, announces one instance under it, and gives it up."""

from __future__ import annotations

import asyncio
import logging
import random
import struct
from collections.abc import Sequence

from zeroconf import (
    RecordUpdate,
    RecordUpdateListener,
    ServiceInfo,
    Zeroconf,
    current_time_millis,
)

from usbshare.base.waits import set_within
from usbshare.base.watched_task import cancel_all, in_background
from usbshare.hosts.instance import Instance, Kind
from usbshare.hosts.mdns.names import SERVICE_TYPE, candidates, full_name, subtype
from usbshare.hosts.mdns.records import (
    CLASS_IN,
    FLAGS_ANSWER,
    FLAGS_QUERY,
    TYPE_ANY,
    TYPE_SRV,
    DNSOutgoing,
    DNSPointer,
    DNSQuestion,
    DNSRecord,
    DNSService,
)
from usbshare.hosts.mdns.wire import Responder
from usbshare.hosts.txt_record import to_properties

# RFC 6762 8.1, of whose 0 to 250 ms of first delay we take little: to be found within a second.
_FIRST_DELAY_S = 0.05
_PROBES, _PROBE_PAUSE_S = 3, 0.25
# RFC 6762 8.3 and 6: at least two announcements, and no record twice within a second.
_ANNOUNCEMENTS, _ANNOUNCEMENT_PAUSE_S = 3, 1.0
_GOODBYES, _GOODBYE_PAUSE_S = 2, 0.1
_FRESH_MS = 2000

_log = logging.getLogger(__name__)


class Announcer(RecordUpdateListener):
    """Keeps one instance announced; its host name is ours alone, so addresses never clash."""

    def __init__(self, responder: Responder, host: str) -> None:
        self._responder, self._server = responder, f"{host}.local."
        self._addresses: tuple[str, ...] = ()
        self._instance: Instance | None = None
        self._name, self._wanted = "", ""
        self._infos: list[ServiceInfo] = []
        self._claiming = asyncio.Lock()
        self._probed = ""
        self._taken = asyncio.Event()
        self._news = asyncio.Event()
        self._repeating: asyncio.Task[None] | None = None
        self._renaming: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        """The name in use, empty if none is."""
        return self._name

    def start(self) -> None:
        """Listen for others who use the name."""
        self._responder.async_add_listener(self, None)
        self._repeating = in_background(self._repeat(), "mDNS announcements")

    async def announce(self, instance: Instance) -> str:
        """Announce, or update what is announced; return the name, which may be `Name (2)`."""
        async with self._claiming:
            if not self._is_ours(instance.name):
                self._send_goodbye()
                await self._claim(instance.name, instance)
            self._publish(instance)
            return self._name

    def announce_again(self) -> None:
        """Announce everything again: the networks have changed."""
        self._news.set()

    def set_addresses(self, addresses: tuple[str, ...]) -> None:
        """Announce the host with other addresses from now on."""
        if addresses != self._addresses:
            self._addresses = addresses
            if self._infos and self._instance is not None:
                self._publish(self._instance)

    async def withdraw(self) -> None:
        """Take back what is announced; others forget it at once."""
        async with self._claiming:
            await self._withdraw()

    async def close(self) -> None:
        """Take back what is announced and end; within about `_GOODBYE_PAUSE_S`."""
        await cancel_all(self._repeating, self._renaming)
        await self._withdraw()
        self._responder.async_remove_listener(self)

    def async_update_records(self, zc: Zeroconf, now: float, records: list[RecordUpdate]) -> None:
        """Look for our name in use by another host, and for goodbyes to it that are not ours."""
        for update in records:
            record = update.new
            if isinstance(record, DNSService):
                if self._is_rival(record, now):
                    self._note_rival(record)
            elif isinstance(record, DNSPointer) and record.is_expired(now):
                self._note_goodbye(record)

    def async_update_records_complete(self) -> None:
        """Nothing more is to be done with them."""

    def _is_rival(self, record: DNSService, now: float) -> bool:
        return record.server.lower() != self._server.lower() and not record.is_expired(now)

    def _note_goodbye(self, pointer: DNSPointer) -> None:
        if self._infos and pointer.alias.lower() == self._infos[0].key:
            self._news.set()

    def _note_rival(self, record: DNSService) -> None:
        if record.key == self._probed:
            self._taken.set()
        if not self._infos or record.key != self._infos[0].key:
            return
        if _data(self._infos[0].dns_service()) > _data(record):
            self._news.set()  # they hear ours again, and yield
        elif self._renaming is None or self._renaming.done():
            self._renaming = in_background(self._rename(), "mDNS renaming")

    def _is_ours(self, name: str) -> bool:
        """Whether what is announced is of that name, or has another because that was taken."""
        return bool(self._name) and name in {self._name, self._wanted}

    async def _rename(self) -> None:
        async with self._claiming:
            if self._instance is None:
                return
            before = self._name
            # Without a goodbye: the pointer is the other's now.
            await self._claim(self._wanted, self._instance)
            self._publish(self._instance)
        _log.warning("another host is called %r; this one is now %r", before, self._name)

    async def _claim(self, wanted: str, instance: Instance) -> None:
        self._withdraw_records()
        self._name, self._wanted = "", wanted
        port = _service_port(instance)
        for name in candidates(wanted):
            if await self._is_free(name, port):
                self._name = name
                return

    async def _is_free(self, name: str, port: int) -> bool:
        self._probed = full_name(name).lower()
        try:
            if self._is_taken_lately():
                return False
            self._taken.clear()
            await asyncio.sleep(random.uniform(0, _FIRST_DELAY_S))  # noqa: S311 - no secret
            for _ in range(_PROBES):
                self._send_probe(name, port)
                if await set_within(self._taken, _PROBE_PAUSE_S):
                    return False
            return True
        finally:
            self._probed = ""

    def _is_taken_lately(self) -> bool:
        now = current_time_millis()
        return any(
            isinstance(record, DNSService)
            and self._is_rival(record, now)
            and now - record.created < _FRESH_MS
            for record in self._responder.cache.async_entries_with_name(self._probed)
        )

    def _send_probe(self, name: str, port: int) -> None:
        # Not asked for unicast answers as RFC 6762 8.1 would like: those reach any one of the
        # programs on this computer that share port 5353, not always this one.
        out = DNSOutgoing(FLAGS_QUERY)
        out.add_question(DNSQuestion(full_name(name), TYPE_ANY, CLASS_IN))
        proposed = DNSService(full_name(name), TYPE_SRV, CLASS_IN, 120, 0, 0, port, self._server)
        out.authorities.append(proposed)  # type: ignore[arg-type] # the library's own are pointers
        self._responder.async_send(out)

    def _publish(self, instance: Instance) -> None:
        """Answer with what is so now, and announce it soon."""
        self._instance = instance
        before = {each.type for each in self._infos}
        self._responder.registry.async_remove(self._infos)
        self._infos = self._records(instance)
        for info in self._infos:
            self._responder.registry.async_add(info)
        if gone := before - {each.type for each in self._infos}:
            self._responder.async_send(_farewell(gone, self._infos[0].name))
        self._news.set()

    def _records(self, instance: Instance) -> list[ServiceInfo]:
        """Return the service, and one more for each subtype."""
        infos = [
            ServiceInfo(
                type_,
                full_name(self._name),
                port=_service_port(instance),
                properties=to_properties(instance),
                server=self._server,
                parsed_addresses=[each.partition("%")[0] for each in self._addresses],
            )
            for type_ in (SERVICE_TYPE, *(subtype(each.kind) for each in instance.endpoints))
        ]
        for info in infos[1:]:
            info.key = f"{info.type}{info.key}"  # the registry takes each key once
        return infos

    def _withdraw_records(self) -> None:
        self._responder.registry.async_remove(self._infos)
        self._infos = []
        self._news.clear()

    async def _withdraw(self) -> None:
        infos = self._infos
        self._send_goodbye()
        self._withdraw_records()
        self._instance, self._name = None, ""
        if infos:
            await asyncio.sleep(_GOODBYE_PAUSE_S)
            self._responder.async_send(_message(infos, ttl_s=0))

    def _send_goodbye(self) -> None:
        if self._infos:
            self._responder.async_send(_message(self._infos, ttl_s=0))

    async def _repeat(self) -> None:
        left = 0
        while True:
            if left == 0:
                await self._news.wait()
            if self._news.is_set():
                self._news.clear()
                left = _ANNOUNCEMENTS
            if self._infos:
                self._responder.async_send(_message(self._infos))
            left -= 1
            await asyncio.sleep(_ANNOUNCEMENT_PAUSE_S)


def _service_port(instance: Instance) -> int:
    first = instance.endpoints[0].port if instance.endpoints else 0
    return instance.port_of(Kind.SERIAL) or first


def _message(infos: Sequence[ServiceInfo], ttl_s: int | None = None) -> DNSOutgoing:
    """Return the announcement, or with a TTL of 0 the goodbye: not of the host's addresses."""
    out = DNSOutgoing(FLAGS_ANSWER)
    records: list[DNSRecord] = [info.dns_pointer(ttl_s) for info in infos]
    records += [infos[0].dns_service(ttl_s), infos[0].dns_text(ttl_s)]
    if ttl_s is None:
        records += infos[0].get_address_and_nsec_records()
    for record in records:
        out.add_answer_at_time(record, 0)
    return out


def _farewell(types: set[str], name: str) -> DNSOutgoing:
    out = DNSOutgoing(FLAGS_ANSWER)
    for type_ in types:
        out.add_answer_at_time(ServiceInfo(type_, name).dns_pointer(0), 0)
    return out


def _data(record: DNSService) -> bytes:
    """Return the record's data as RFC 6762 8.2 compares it; the later one keeps the name."""
    labels = record.server.lower().rstrip(".").encode().split(b".")
    target = b"".join(bytes((min(255, len(label)),)) + label for label in labels) + b"\0"
    return struct.pack("!HHH", record.priority, record.weight, record.port) + target
