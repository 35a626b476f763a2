"""When a grant counts: until a date, and at some hours of some days; local time of the host."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_DAY_MINUTES = 24 * 60
_HOURS = re.compile(r"(?:(\S+)\s+)?(\d{1,2}):(\d\d)\s*-\s*(\d{1,2}):(\d\d)")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|m|h|d)")
_UNITS_S = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_LONGEST_DAYS = 36_500
_LONGEST_S = _LONGEST_DAYS * 86_400
_HOURS_FORM = "write days and hours as in 'Mon-Fri 08:00-18:00'"


@dataclass(frozen=True, slots=True)
class Window:
    """Hours of some weekdays (0 is Monday); one that crosses midnight begins on those days."""

    days: frozenset[int]
    start_minute: int
    end_minute: int

    def end(self, local: datetime) -> datetime | None:
        """Return when the window ends that this naive local time is in; None if it is in none."""
        return next((end for start, end in self.around(local) if start <= local < end), None)

    def around(self, local: datetime) -> Iterator[tuple[datetime, datetime]]:
        """Yield beginning and end of those that begin on the day of a local time, or before it."""
        midnight = datetime.combine(local.date(), time.min)
        for day in (midnight - timedelta(days=1), midnight):
            if day.weekday() in self.days:
                yield (
                    day + timedelta(minutes=self.start_minute),
                    day + timedelta(minutes=self.end_minute),
                )


def parse_hours(text: str) -> Window:
    """Read `Mon-Fri 08:00-18:00`, `Sat,Sun 22:00-06:00` or `08:00-18:00`; ValueError if wrong."""
    match = _HOURS.fullmatch(text.strip())
    if match is None:
        raise ValueError(_HOURS_FORM)
    start, end = _minute(match[2], match[3]), _minute(match[4], match[5])
    if start in {end, _DAY_MINUTES}:
        raise ValueError(f"it needs a start and an end; {_HOURS_FORM}")
    crosses_midnight = end < start
    return Window(_days(match[1]), start, end + _DAY_MINUTES * crosses_midnight)


def parse_duration_s(text: str) -> float:
    """Read `90s`, `10m`, `8h` or `2d`; ValueError if it is none or nothing."""
    match = _DURATION.fullmatch(text.strip())
    seconds = float(match[1]) * _UNITS_S[match[2]] if match else 0.0
    if not 0 < seconds <= _LONGEST_S:
        raise ValueError(f"write a duration such as 90s, 10m, 8h or 2d, at most {_LONGEST_DAYS} d")
    return seconds


def duration_in_words(seconds: float) -> str:
    """Return a time as `parse_duration_s` reads it, in the largest unit that fits."""
    for unit, size_s in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size_s and seconds % size_s == 0:
            return f"{seconds / size_s:g} {unit}"
    return f"{seconds:g} s"


def end_of_window(windows: Iterable[Window], now: datetime) -> datetime | None:
    """Return when the last of the windows ends that are open now; None if none is.

    Of an hour that comes twice, in autumn, the first counts, for a beginning and for an end.
    """
    local = now.astimezone().replace(tzinfo=None, fold=0)
    spans = (
        (start.astimezone(), end.astimezone())
        for window in windows
        for start, end in window.around(local)
    )
    return max((end for start, end in spans if start <= now < end), default=None)


def end_of(until: datetime | date) -> datetime:
    """Return the moment that is meant; a day ends at its midnight, no offset means local time."""
    if not isinstance(until, datetime):
        until = datetime.combine(until + timedelta(days=1), time.min)
    return until.astimezone() if until.tzinfo is None else until


def _minute(hours: str, minutes: str) -> int:
    minute = int(hours) * 60 + int(minutes)
    if int(minutes) > 59 or minute > _DAY_MINUTES:
        raise ValueError(f"{hours}:{minutes} is not a time of day; {_HOURS_FORM}")
    return minute


def _days(text: str | None) -> frozenset[int]:
    if text is None:
        return frozenset(range(7))
    return frozenset(day for part in text.split(",") for day in _range(part))


def _range(text: str) -> Iterable[int]:
    first, _, last = text.partition("-")
    start, end = _day(first), _day(last or first)
    return ((start + offset) % 7 for offset in range((end - start) % 7 + 1))


def _day(text: str) -> int:
    if text.capitalize() not in DAYS:
        raise ValueError(f"{text!r} is not a day; the days are {', '.join(DAYS)}")
    return DAYS.index(text.capitalize())
