"""Which certificates were renewed, and which count no more since their successor is in use.

A file that was copied shows here: of its two holders one renews first, and the other then shows a
certificate that is void. So a stolen key ends, or its theft is seen.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

# Programs that share a file, and sessions that move, need a moment for the new one.
GRACE = timedelta(minutes=10)
# An answer may be lost on its way, and another asked for.
MOST_UNUSED = 10


@dataclass(frozen=True, slots=True)
class Renewal:
    """That a certificate got a successor, which ends then; serial numbers are in hex, times aware.

    `at_host`: the host renewed the file itself, so that its successor belongs to it alone.
    """

    old: str
    new: str
    ends: datetime
    used_at: datetime | None = None
    at_host: bool = False


def in_hex(serial: int) -> str:
    """Return a serial number as it is kept."""
    return f"{serial:x}"


def voids(renewals: Iterable[Renewal]) -> dict[str, datetime]:
    """Return from when on which serial numbers count no more: renewed ones, and rivals.

    Of several successors of one certificate the first that is used counts.
    """
    found: dict[str, datetime] = {}
    for old, successors in _by_old(renewals).items():
        if (first := _first_used(successors)) is None or first.used_at is None:
            continue
        found[old] = first.used_at + GRACE
        rivals = (each for each in successors if each.new != first.new and not each.at_host)
        found.update({each.new: first.used_at for each in rivals})
    return found


def awaited(renewals: Iterable[Renewal]) -> set[str]:
    """Return the serial numbers whose first use makes others void."""
    every = tuple(renewals)
    void = voids(every)
    return {each.new for each in every if each.used_at is None and each.new not in void}


def successor_in_use(renewals: Iterable[Renewal], serial: str) -> Renewal | None:
    """Return the successor of a certificate that is in use, if one is."""
    return _first_used([each for each in renewals if each.old == serial])


def unused_successors(renewals: Iterable[Renewal], serial: str) -> int:
    """Return how many successors of a certificate have not been used."""
    return sum(each.old == serial and each.used_at is None for each in renewals)


def with_renewal(renewals: Iterable[Renewal], new: Renewal, now: datetime) -> tuple[Renewal, ...]:
    """Add one, and forget those that say nothing any more."""
    return (*(each for each in renewals if each.ends > now), new)


def with_use(renewals: Iterable[Renewal], serial: str, now: datetime) -> tuple[Renewal, ...]:
    """Note that a successor is in use, unless another was before."""
    every = tuple(renewals)
    waiting = awaited(every)
    return tuple(
        replace(each, used_at=now) if each.new == serial and serial in waiting else each
        for each in every
    )


def _by_old(renewals: Iterable[Renewal]) -> dict[str, list[Renewal]]:
    found: dict[str, list[Renewal]] = defaultdict(list)
    for each in renewals:
        found[each.old].append(each)
    return found


def _first_used(successors: list[Renewal]) -> Renewal | None:
    used = [(each.used_at, each) for each in successors if each.used_at is not None]
    return min(used, key=lambda pair: pair[0])[1] if used else None
