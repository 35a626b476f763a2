"""Merges equal events of one identity into a line with a count, so that none can fill the log.

Of equal events some a minute are written whole. A day has room for so many bytes of one identity;
beyond that one of each kind in ten minutes is. No event is lost: the counts add up. What the host
itself does, without a caller, is never merged, nor is a change of who is let in.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from usbshare.base.rate_limits import Buckets

MOST_A_WINDOW = 20
WINDOW_S = 60.0
MOST_OVER_SHARE, OVER_SHARE_WINDOW_S = 1, 600.0
MOST_REMEMBERED = 4096
DAY_S = 86_400.0
BYTES_A_DAY = 2_000_000
# Who calls without a certificate: one share for all, since addresses are for the taking.
STRANGERS = "strangers"
# What distinguishes equal events, of all that their lines say.
_TELLING = ("port", "camera", "action", "method")
# Of what is refused, the port is the caller's own words, of which there are many.
_TELLING_OF_REFUSED = ("method",)
# What an administrator has asked for is not the identity's to pay.
_FREE = frozenset({"contents"})
# Each says whom a caller let in or shut out: by many of its own it must not hide one. The RPCs that
# make them bound how many there are.
_ALWAYS_WRITTEN = frozenset({"invited", "invitation withdrawn", "revoked"})
_ENVELOPE_BYTES = 250

Entry = dict[str, object]


@dataclass(slots=True)
class _Window:
    """Equal events since `began_at`; of those that were not written, how many and the last one."""

    began_at: float
    length_s: float
    written: int = 0
    merged: int = 0
    since: object = None
    last: Entry = field(default_factory=dict)


class AuditThrottle:
    """Says which entries to write, and what to write for the others; used from any thread."""

    def __init__(self, clock: Callable[[], float], bytes_a_day: int = BYTES_A_DAY) -> None:
        self._clock = clock
        self._bytes_per_s = bytes_a_day / DAY_S
        self._windows: OrderedDict[tuple[object, ...], _Window] = OrderedDict()
        self._shares = Buckets[str](DAY_S, MOST_REMEMBERED)
        self._lock = threading.Lock()

    def taken(self, entry: Entry) -> list[Entry]:
        """Return what to write now that this entry has come: it, or nothing, and what is over."""
        whose = _whose(entry)
        if not whose or entry["event"] in _ALWAYS_WRITTEN:
            return [entry]
        with self._lock:
            now = self._clock()
            share = self._shares.of(whose, now)
            is_over = not share.take_if_left(_size(entry), self._bytes_per_s, now)
            key = _key(whose, entry)
            over = self._end_if_over(key, now)
            window = self._windows.get(key)
            if window is None:
                window = _Window(now, OVER_SHARE_WINDOW_S if is_over else WINDOW_S)
                over += self._remember(key, window)
            if window.written < (MOST_OVER_SHARE if is_over else MOST_A_WINDOW):
                window.written += 1
                return [*over, entry]
            window.since = window.since if window.merged else entry["time"]
            window.merged += 1
            window.last = entry
            return over

    def due(self, *, everything: bool = False) -> list[Entry]:
        """Return the lines for what was merged, once its time is over, or all of it."""
        with self._lock:
            now = self._clock()
            ended = [
                key
                for key, window in self._windows.items()
                if everything or now - window.began_at >= window.length_s
            ]
            return [line for key in ended for line in _line_of(self._windows.pop(key))]

    def _end_if_over(self, key: tuple[object, ...], now: float) -> list[Entry]:
        window = self._windows.get(key)
        if window is None or now - window.began_at < window.length_s:
            return []
        return list(_line_of(self._windows.pop(key)))

    def _remember(self, key: tuple[object, ...], window: _Window) -> list[Entry]:
        self._windows[key] = window
        if len(self._windows) <= MOST_REMEMBERED:
            return []
        return list(_line_of(self._windows.popitem(last=False)[1]))


def _whose(entry: Mapping[str, object]) -> str:
    """Return whose share an entry is of; empty for what the host itself does."""
    return str(entry.get("who") or (STRANGERS if entry.get("address") else ""))


def _key(whose: str, entry: Mapping[str, object]) -> tuple[object, ...]:
    """Return what equal events have in common, in texts, since fields may be anything."""
    event = entry["event"]
    return (whose, event, *(str(entry.get(each, "")) for each in _telling(event)))


def _telling(event: object) -> tuple[str, ...]:
    return _TELLING_OF_REFUSED if event == "refused" else _TELLING


def _line_of(window: _Window) -> Iterator[Entry]:
    if window.merged:
        told = ("time", "event", "who", "address", *_telling(window.last["event"]))
        line = {name: window.last[name] for name in told if name in window.last}
        yield {**line, "merged": window.merged, "since": window.since}


def _size(entry: Mapping[str, object]) -> int:
    """Return about how long its line will be."""
    told = (value for name, value in entry.items() if name not in _FREE)
    return _ENVELOPE_BYTES + sum(len(str(value)) for value in told)
