"""The head of a log: where its chain begins and ends, so that cut ends are found."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from usbshare.audit.chain import Tip
from usbshare.base.paths import write_private
from usbshare.base.plain_file import read_plain


@dataclass(frozen=True, slots=True)
class Head:
    """The last line at least, and the number of the first line that is kept."""

    tip: Tip
    first: int = 1


def read_head(path: Path) -> Head | None:
    """Return what the file says, None if there is none or it cannot be understood."""
    try:
        found = json.loads(read_plain(path))
        return Head(Tip(int(found["seq"]), str(found["hash"])), int(found["first"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_head(path: Path, head: Head) -> None:
    """Replace the file in one step; raises OSError."""
    fields = {"seq": head.tip.seq, "hash": head.tip.hash, "first": head.first}
    write_private(path, json.dumps(fields).encode() + b"\n")
