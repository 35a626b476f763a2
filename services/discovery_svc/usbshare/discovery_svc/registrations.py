"""What services of this host register, in leases that end unless renewed; others may not."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import ifaddr

from usbshare.base.addresses import Address, parse_address, split_host_port
from usbshare.base.errors import InvalidArgumentError, LimitError, PermissionDeniedError
from usbshare.hosts.instance import Endpoint, Kind

log = logging.getLogger(__name__)

MOST_LEASES = 64
MOST_PORT_IDS = 64


@dataclass(frozen=True, slots=True)
class Offer:
    """Services of one program, each kind once, and the ids of the serial ports behind them."""

    endpoints: tuple[Endpoint, ...] = ()
    port_ids: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether it says nothing, as what only renews does."""
        return not (self.endpoints or self.port_ids)


class Lease:
    """One program's registration."""

    def __init__(self, who: str, offer: Offer, ttl_s: float, now: float) -> None:
        self.who = who
        self.offer = offer
        self.ttl_s = ttl_s
        self.expires_at = now + ttl_s


class Registrations:
    """The leases of this host, oldest first: of two for the same kind the older one is announced.

    `offered` is called with what all of them offer together, after each change of that.
    """

    def __init__(self, clock: Callable[[], float], offered: Callable[[Offer], object]) -> None:
        self._clock = clock
        self._offered = offered
        self._told = Offer()
        self._leases: list[Lease] = []

    def __len__(self) -> int:
        return len(self._leases)

    @property
    def offer(self) -> Offer:
        """What all leases offer together."""
        endpoints: dict[Kind, Endpoint] = {}
        port_ids: dict[str, None] = {}
        for lease in self._leases:
            new = [each for each in lease.offer.endpoints if each.kind not in endpoints]
            endpoints.update((each.kind, each) for each in new)
            if new:
                port_ids.update(dict.fromkeys(lease.offer.port_ids))
        return Offer(tuple(endpoints.values()), tuple(port_ids)[:MOST_PORT_IDS])

    def take(self, who: str, offer: Offer, ttl_s: float) -> Lease:
        """Register an offer until it is withdrawn or expires; raises LimitError."""
        _require_endpoints(offer)
        if len(self._leases) >= MOST_LEASES:
            raise LimitError(f"{MOST_LEASES} programs are already registered here")
        self._warn_of_doubles(who, offer)
        lease = Lease(who, offer, ttl_s, self._clock())
        self._leases.append(lease)
        self._tell()
        return lease

    def renew(self, lease: Lease, offer: Offer, ttl_s: float) -> None:
        """Extend a lease; an offer that is not empty replaces its own."""
        if not offer.is_empty:
            _require_endpoints(offer)
            lease.offer = offer
        lease.ttl_s = ttl_s
        lease.expires_at = self._clock() + ttl_s
        self._tell()

    def end(self, lease: Lease) -> None:
        """Take back what a lease offered."""
        self._leases.remove(lease)
        self._tell()

    def left_s(self, lease: Lease) -> float:
        """Return for how long a lease is still valid, 0 once it is over."""
        return max(0.0, lease.expires_at - self._clock())

    def _tell(self) -> None:
        if (offer := self.offer) != self._told:
            self._told = offer
            self._offered(offer)

    def _warn_of_doubles(self, who: str, offer: Offer) -> None:
        taken = {each.kind: each.port for each in self.offer.endpoints}
        for each in offer.endpoints:
            if taken.get(each.kind, each.port) != each.port:
                log.warning(
                    "%s offers a %s service at port %d: the one at port %d stays announced",
                    *(who, each.kind.value, each.port, taken[each.kind]),
                )


def require_own_host(peer: str) -> None:
    """Raise PermissionDeniedError unless `host:port` is loopback or an address of this host."""
    address = _address(peer)
    if address is None or not (address.is_loopback or address in set(_own_addresses())):
        raise PermissionDeniedError(
            f"only programs on this computer may announce services here; {peer} is another computer"
        )


def _require_endpoints(offer: Offer) -> None:
    if not offer.endpoints:
        raise InvalidArgumentError("endpoints is empty: name at least one service to announce")


def _address(peer: str) -> Address | None:
    with suppress(InvalidArgumentError):
        return _plain(split_host_port(peer, 0)[0])
    return None


def _own_addresses() -> Iterator[Address]:
    for adapter in ifaddr.get_adapters():
        for ip in adapter.ips:
            if address := _plain(ip.ip if isinstance(ip.ip, str) else ip.ip[0]):
                yield address


def _plain(text: str) -> Address | None:
    """Read an address without its scope; an IPv4 one that came over IPv6 is IPv4."""
    address = parse_address(text.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address
