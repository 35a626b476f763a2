"""What other hosts announce over mDNS, added to the catalogue as it arrives."""

from __future__ import annotations

import asyncio
import logging
import random
import socket
from collections import OrderedDict
from itertools import chain, islice

from zeroconf import (
    BadTypeInNameException,
    DNSQuestionType,
    RecordUpdate,
    RecordUpdateListener,
    Zeroconf,
    current_time_millis,
)
from zeroconf.asyncio import AsyncServiceInfo

from usbshare.base.waits import set_within
from usbshare.base.watched_task import cancel_all, in_background
from usbshare.hosts.catalogue import Catalogue
from usbshare.hosts.counters import SourceCounters
from usbshare.hosts.instance import Instance, Observation, Source
from usbshare.hosts.mdns.names import SERVICE_TYPE, label_of
from usbshare.hosts.mdns.records import (
    CLASS_IN,
    FLAGS_QUERY,
    TYPE_PTR,
    DNSOutgoing,
    DNSPointer,
    DNSQuestion,
    DNSRecord,
    DNSService,
)
from usbshare.hosts.mdns.wire import Responder
from usbshare.hosts.txt_record import from_properties

_MOST_KNOWN = 1024
_MOST_REQUESTS = 16
# The library's cache holds 10,000 records, ours first to go since those of hosts live shortly: junk
# is swept out long before.
_MOST_HEARD = 4000
_MOST_OF_A_HOST = 16
_REQUEST_MS = 3000
# RFC 6762 5.2 doubles the pause up to an hour; ten minutes refresh each pointer (75 min, of which
# those past the half are no known answers) in time as well, and need no timer for each.
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 600.0
# A host that is no longer reachable may return without announcing it: its cable was out.
_LONGEST_PAUSE_MISSING_S = 60.0
_LOOK_FOR_MISSING_S = 5.0

_log = logging.getLogger(__name__)


class Browser(RecordUpdateListener):
    """Asks for instances, listens, and updates the catalogue; it keeps at most 1024 names."""

    def __init__(
        self, responder: Responder, catalogue: Catalogue, counters: SourceCounters
    ) -> None:
        self._responder, self._catalogue, self._counters = responder, catalogue, counters
        self._known: OrderedDict[str, str] = (
            OrderedDict()
        )  # key to name, those heard last at the end
        self._told: dict[str, None] = {}  # keys, in order
        self._heard = 0  # new records since the last sweep
        self._changed: dict[str, bool] = {}  # key to whether it is worth a request
        self._waiting: OrderedDict[str, None] = OrderedDict()
        self._requests: dict[str, asyncio.Task[None]] = {}
        self._asking: asyncio.Task[None] | None = None
        self._again = asyncio.Event()

    def start(self) -> None:
        """Listen, and ask after a moment (RFC 6762 5.2)."""
        self._responder.async_add_listener(self, None)
        self._asking = in_background(self._ask_for_ever(), "mDNS queries")

    def ask_again(self) -> None:
        """Start over with asking often: there are other networks now."""
        self._again.set()

    async def close(self) -> None:
        """Stop; what it reported stays in the catalogue."""
        self._responder.async_remove_listener(self)
        self._waiting.clear()
        await cancel_all(self._asking, *self._requests.values())

    def async_update_records(self, zc: Zeroconf, now: float, records: list[RecordUpdate]) -> None:
        """Note whom the records of one packet are about; the cache does not have them yet."""
        for update in records:
            record = update.new
            self._heard += update.old is None
            if isinstance(record, DNSPointer):
                self._note_pointer(record, now)
            else:
                self._note_other(record, is_news=not record.is_expired(now))

    def async_update_records_complete(self) -> None:
        """Take in what was noted, now that the cache has it."""
        changed, self._changed = self._changed, {}
        for key, is_news in changed.items():
            self._take_in(key, is_news)
        self._keep_few()
        if self._heard > _MOST_HEARD:
            self._heard = 0
            self._sweep()

    def _note_pointer(self, pointer: DNSPointer, now: float) -> None:
        if pointer.type != TYPE_PTR or pointer.key != SERVICE_TYPE:
            return
        key = pointer.alias.lower()
        if pointer.is_expired(now):
            self._forget(key)
        elif not label_of(pointer.alias):
            self._counters.error()
        else:
            self._known[key] = pointer.alias
            self._known.move_to_end(key)
            self._changed[key] = True

    def _note_other(self, record: DNSRecord, *, is_news: bool) -> None:
        services = self._responder.cache.async_entries_with_server(record.name)
        for key in {record.key, *(service.key for service in services)}:
            if key in self._known:
                self._changed[key] = self._changed.get(key, False) or is_news

    def _keep_few(self) -> None:
        """Let go of the names that were heard longest ago, first of those that led nowhere."""
        surplus = len(self._known) - _MOST_KNOWN
        if surplus <= 0:
            return
        vague = (key for key in self._known if key not in self._told)
        for key in list(islice(chain(vague, self._told), surplus)):
            self._counters.error()
            self._forget(key)

    def _sweep(self) -> None:
        """Take out of the library's cache what is about none of the names that are kept."""
        cache = self._responder.cache
        services = (each for key in self._known for each in cache.async_entries_with_name(key))
        hosts = {each.server_key for each in services if isinstance(each, DNSService)}
        junk: list[DNSRecord] = []
        for name in cache.names():
            records = cache.async_entries_with_name(name)
            if name == SERVICE_TYPE:
                junk += [each for each in records if not self._is_kept(each)]
            elif name in self._known or name in hosts:
                junk += records[_MOST_OF_A_HOST:]
            else:
                junk += records
        cache.async_remove_records(junk)

    def _is_kept(self, record: DNSRecord) -> bool:
        return isinstance(record, DNSPointer) and record.alias.lower() in self._known

    def _forget(self, key: str) -> None:
        self._known.pop(key, None)
        self._changed.pop(key, None)
        self._waiting.pop(key, None)
        if key in self._told:
            del self._told[key]
            self._catalogue.forget(Source.MDNS, key)

    def _take_in(self, key: str, is_news: bool) -> None:
        name = self._known.get(key)
        if name is None:
            return
        try:
            info = AsyncServiceInfo(SERVICE_TYPE, name)
        except BadTypeInNameException:  # control characters
            self._counters.error()
            self._forget(key)
            return
        if info.load_from_cache(self._responder):
            self._tell(key, info)
        elif is_news and key not in self._requests:
            self._waiting[key] = None
            self._request_next()

    def _tell(self, key: str, info: AsyncServiceInfo) -> None:
        instance = _instance(info)
        if instance is None or not self._catalogue.observe(Observation(Source.MDNS, key, instance)):
            self._counters.error()
            return
        self._told[key] = None

    def _request_next(self) -> None:
        while self._waiting and len(self._requests) < _MOST_REQUESTS:
            key, _ = self._waiting.popitem(last=False)
            self._requests[key] = in_background(self._request(key), "mDNS request")

    async def _request(self, key: str) -> None:
        try:
            info = AsyncServiceInfo(SERVICE_TYPE, self._known[key])
            # Answered to all: a unicast answer goes to any one of this computer's programs.
            question = DNSQuestionType.QM
            found = await info.async_request(self._responder, _REQUEST_MS, question)
            if found and key in self._known:
                self._tell(key, info)
        except Exception as error:  # the library's, about a stranger's names
            _log.debug("mDNS: no answer about %r: %r", key, error)
            self._counters.error()
        finally:
            del self._requests[key]
            self._request_next()

    async def _ask_for_ever(self) -> None:
        await asyncio.sleep(random.uniform(0.02, 0.12))  # noqa: S311 - no secret
        pause_s = _FIRST_PAUSE_S
        while True:
            missing = self._missing()
            self._ask(missing)
            if await self._is_new_within(pause_s, missing):
                pause_s = _FIRST_PAUSE_S
            else:
                most_s = _LONGEST_PAUSE_MISSING_S if missing else _LONGEST_PAUSE_S
                pause_s = min(2 * pause_s, most_s)

    async def _is_new_within(self, pause_s: float, missing: frozenset[str]) -> bool:
        """Return early, and True, if there is a new reason to ask often."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + pause_s
        while (left_s := deadline - loop.time()) > 0:
            if await set_within(self._again, min(left_s, _LOOK_FOR_MISSING_S)):
                self._again.clear()
                return True
            if self._missing() - missing:
                return True
        return False

    def _missing(self) -> frozenset[str]:
        """Return the keys that the catalogue itself has dropped: they could not be reached."""
        return frozenset(key for key in self._told if not self._catalogue.knows(Source.MDNS, key))

    def _ask(self, missing: frozenset[str]) -> None:
        out = DNSOutgoing(FLAGS_QUERY)
        out.add_question(DNSQuestion(SERVICE_TYPE, TYPE_PTR, CLASS_IN))
        now = current_time_millis()
        for pointer in self._responder.cache.get_all_by_details(SERVICE_TYPE, TYPE_PTR, CLASS_IN):
            if isinstance(pointer, DNSPointer) and self._is_known_answer(pointer, now, missing):
                out.add_answer_at_time(pointer, now)
        self._responder.async_send(out)

    def _is_known_answer(self, pointer: DNSPointer, now: float, missing: frozenset[str]) -> bool:
        key = pointer.alias.lower()
        return key in self._told and key not in missing and not pointer.is_stale(now)


def _instance(info: AsyncServiceInfo) -> Instance | None:
    addresses = tuple(each for ip in info.parsed_scoped_addresses() if (each := _address(ip)))
    host = (info.server or "").rstrip(".")
    label = label_of(info.name)
    return from_properties(label, host, addresses, info.port or 0, info.properties)


def _address(text: str) -> str:
    """Return it with its interface's name, empty if it is link-local and says not of which link."""
    address, _, index = text.partition("%")
    if not address.lower().startswith("fe80:"):
        return address
    try:
        return f"{address}%{socket.if_indextoname(int(index))}"
    except (OSError, ValueError):
        return ""
