"""Bounds on the time and memory that received beacons take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

from usbshare.base.rate_limits import FairShare, Rate
from usbshare.hosts.catalogue import Catalogue
from usbshare.hosts.instance import Observation, Source
from usbshare.hosts.sources.beacon_message import BeaconMessage

EXPIRY_S = 30.0
MOST_INSTANCES = 256
MOST_ADDRESSES = 8

# 200 messages a second on average, and a burst of every instance at once.
WINDOW_S = 2.0
MOST_IN_WINDOW = 400
MOST_OF_A_SENDER = 300  # what one sender leaves for the others
_OF_ALL = Rate(MOST_IN_WINDOW / WINDOW_S, MOST_IN_WINDOW)
_OF_A_SENDER = Rate(MOST_OF_A_SENDER / WINDOW_S, MOST_OF_A_SENDER)


class FloodGate:
    """Decides which messages are read; of constant size."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._share = FairShare[str](_OF_A_SENDER, _OF_ALL, clock, MOST_IN_WINDOW)

    def admits(self, sender: str) -> bool:
        """Return whether to read one more message of that address; counts it if so."""
        return self._share.admits(sender)


@dataclass(slots=True)
class _Heard:
    sender: str
    at: float
    addresses: dict[str, float]  # when each was heard last


class BeaconRoll:
    """Keeps the catalogue's beacon observations: one an instance, with all its addresses.

    At most 256 instances. Where there is no room for one more, the sender with the most of them
    loses its oldest, so that a flood pushes out itself.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._heard: dict[str, _Heard] = {}  # longest silent first

    def take(self, message: BeaconMessage, sender: str) -> bool:
        """Note what was said from that address; False where there is no room for it."""
        if message.is_goodbye:
            self._drop(message.key)
            return True
        self._expire()
        heard = self._heard.pop(message.key, None)
        if heard is None and not self._makes_room_for(sender):
            return False
        heard = heard or _Heard(sender, 0.0, {})
        self._heard[message.key] = heard
        return self._observe(message, heard)

    def _observe(self, message: BeaconMessage, heard: _Heard) -> bool:
        now = self._catalogue.clock()
        heard.at = now
        for address in message.instance.addresses:
            heard.addresses[address] = now
        heard.addresses = _latest(heard.addresses, now)
        instance = replace(message.instance, addresses=tuple(heard.addresses))
        expires_at = now + EXPIRY_S
        observation = Observation(Source.BEACON, message.key, instance, expires_at)
        return self._catalogue.observe(observation)

    def _expire(self) -> None:
        silent_since = self._catalogue.clock() - EXPIRY_S
        while self._heard:
            key = next(iter(self._heard))
            if self._heard[key].at > silent_since:
                return
            self._drop(key)

    def _makes_room_for(self, sender: str) -> bool:
        if len(self._heard) < MOST_INSTANCES:
            return True
        of_sender = Counter(each.sender for each in self._heard.values())
        of_sender[sender] += 1
        busiest, most = of_sender.most_common(1)[0]
        if most == 1:
            return False
        self._drop(next(key for key, each in self._heard.items() if each.sender == busiest))
        return True

    def _drop(self, key: str) -> None:
        self._heard.pop(key, None)
        self._catalogue.forget(Source.BEACON, key)


def _latest(addresses: dict[str, float], now: float) -> dict[str, float]:
    """Return those heard of late, in the order of their first mention, at most 8."""
    by_age = sorted(addresses, key=lambda each: addresses[each], reverse=True)[:MOST_ADDRESSES]
    return {each: at for each, at in addresses.items() if each in by_age and at > now - EXPIRY_S}
