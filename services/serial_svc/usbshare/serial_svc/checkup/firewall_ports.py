"""The ports that a firewall must let through."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple


class Opening(NamedTuple):
    """A port that must accept packets; `protocol` is tcp or udp."""

    protocol: str
    port: int


def spans(openings: Iterable[Opening], to: str) -> Iterator[tuple[str, str]]:
    """Yield each protocol with a port or, joined by `to`, the ends of a range of ports."""
    rows: list[list[Opening]] = []
    for opening in sorted(set(openings)):
        if rows and opening == Opening(rows[-1][-1].protocol, rows[-1][-1].port + 1):
            rows[-1].append(opening)
        else:
            rows.append([opening])
    for row in rows:
        first, last = row[0].port, row[-1].port
        yield row[0].protocol, str(first) if first == last else f"{first}{to}{last}"
