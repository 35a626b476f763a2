"""python-zeroconf with what it lacks: dots within a name, counters, limits on what comes in."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from zeroconf import ServiceInfo, Zeroconf

from usbshare.base.rate_limits import FairShare, Rate
from usbshare.hosts.counters import SourceCounters
from usbshare.hosts.mdns.names import SERVICE_TYPE, label_of
from usbshare.hosts.mdns.records import DNSOutgoing, ServiceRegistry

_MOST_PACKET_BYTES = 9000  # RFC 6762 17
# Packets a second, and at once
_OF_A_SENDER, _OF_ALL = Rate(500, 2000), Rate(1500, 4000)
_MOST_SENDERS = 256
_BYTES_A_TOKEN = 1500

_log = logging.getLogger(__name__)


class Responder(Zeroconf):
    """Sends and answers on the running loop; call `watch_sockets` after interfaces changed."""

    def __init__(
        self, interfaces: list[str | int], counters: SourceCounters, admission: Admission
    ) -> None:
        self._counters, self._admission = counters, admission
        super().__init__(interfaces=interfaces, use_asyncio=True)

    def start(self) -> None:
        """Take to the loop, which `Zeroconf` does as the last step of its construction."""
        self.registry = _Registry()
        self.query_handler = type(self.query_handler)(self)  # it keeps the registry that it saw
        super().start()

    def watch_sockets(self) -> None:
        """Count and limit what comes in through each socket there is."""
        for reader in self.engine.readers:
            inner = reader.transport.get_protocol()
            if not isinstance(inner, _Gate):
                reader.transport.set_protocol(_Gate(inner, self._counters, self._admission))

    def async_send(self, out: DNSOutgoing, *arguments: Any, **options: Any) -> None:
        """Send; what cannot be written, such as a name that others made up, is counted."""
        written = _Outgoing.of(out)
        try:
            packets = written.packets()
            super().async_send(written, *arguments, **options)
        except Exception as error:  # the library's, for what a packet made it answer
            _log.debug("an mDNS packet could not be sent: %r", error)
            self._counters.error()
        else:
            for packet in packets * len(self.engine.senders):
                self._counters.sent(len(packet))


class Admission:
    """Bounds what comes in: per sender, so that a loud one suppresses no other, and in total."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._share = FairShare[str](_OF_A_SENDER, _OF_ALL, clock, _MOST_SENDERS)

    def admits(self, sender: str, n_bytes: int) -> bool:
        """Return whether a packet may come in."""
        is_of_mdns = n_bytes <= _MOST_PACKET_BYTES
        return is_of_mdns and self._share.admits(sender, 1 + n_bytes // _BYTES_A_TOKEN)


class _Gate(asyncio.DatagramProtocol):
    """Sits in front of the library's protocol; no packet's failure passes it."""

    def __init__(self, inner: Any, counters: SourceCounters, admission: Admission) -> None:
        self._inner, self._counters, self._admission = inner, counters, admission

    def connection_lost(self, exc: Exception | None) -> None:
        self._inner.connection_lost(exc)

    def error_received(self, exc: Exception) -> None:
        _log.debug("mDNS socket: %r", exc)
        self._counters.error()

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self._counters.received(len(data))
        if not self._admission.admits(addr[0], len(data)):
            self._counters.error()
            return
        last = self._inner.last_message
        try:
            self._inner.datagram_received(data, addr)
        except Exception as error:  # a stranger's packet ends nothing
            _log.debug("an mDNS packet could not be handled: %r", error)
            self._counters.error()
        else:
            self._count_malformed(last)

    def _count_malformed(self, last: object) -> None:
        message = self._inner.last_message
        if message is not last and not message.valid:
            self._counters.error()


class _Registry(ServiceRegistry):
    """What is answered; announcements and goodbyes are not the library's to make."""

    def async_get_types(self) -> list[str]:
        """Return the types, of which subtypes are none (RFC 6763 9)."""
        return [each for each in super().async_get_types() if "._sub." not in each]

    def async_get_service_infos(self) -> list[ServiceInfo]:
        """Return nothing to announce again after a change of interfaces, or to take back."""
        return []


class _Outgoing(DNSOutgoing):
    """Writes `Laser 1.5._usb-share._tcp.local.` with `Laser 1.5` as one label, RFC 6763 4.3."""

    @classmethod
    def of(cls, out: DNSOutgoing) -> _Outgoing:
        """Return the same message."""
        own = cls(out.flags, out.multicast, out.id)
        own.questions, own.answers = out.questions, out.answers
        own.authorities, own.additionals = out.authorities, out.additionals
        return own

    def write_name(self, name: str) -> None:
        """Append a name; the library would cut it at each dot."""
        label = label_of(name)
        if "." not in label:
            super().write_name(name)
            return
        encoded = label.encode()
        self.write_string(bytes((len(encoded),)) + encoded)
        super().write_name(SERVICE_TYPE)
