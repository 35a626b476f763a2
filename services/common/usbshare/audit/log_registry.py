"""What the logs of one folder say of one another, so that one that is gone whole is missed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from usbshare.audit.chain import Tip
from usbshare.audit.files import LogFiles, Snapshot
from usbshare.audit.head import read_head

# A field of the first line of each process that writes to a log.
FIELD = "other_logs"
_TIP = re.compile(r"(\d{1,18}):([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Sighting:
    """That a line of another log, named for people, saw a log with this tip."""

    log: str
    tip: Tip
    by: str


def tips_of_others(own: LogFiles) -> dict[str, str]:
    """Return the tips of the other logs of the folder, by their names; blocks."""
    heads = sorted(own.folder.glob("*.head"))
    found = ((path.stem, read_head(path)) for path in heads if path != own.head)
    return {name: str(head.tip) for name, head in found if head is not None and head.tip.seq}


def sightings_in(log: Snapshot) -> Iterator[Sighting]:
    """Yield what a log's lines say of others; what cannot be understood says nothing."""
    needle = f'"{FIELD}":'.encode()
    for file in log.files:
        for number, line in enumerate(file.lines(), 1):
            if needle in line:
                yield from _sightings(line, f"{file.path.name} line {number}")


def _sightings(line: bytes, by: str) -> Iterator[Sighting]:
    try:
        told = json.loads(line)[FIELD]
        for name, text in told.items():
            if (found := _TIP.fullmatch(text)) and Path(name).name == name:
                yield Sighting(name, Tip(int(found[1]), found[2]), by)
    except (ValueError, KeyError, TypeError, AttributeError):
        return
