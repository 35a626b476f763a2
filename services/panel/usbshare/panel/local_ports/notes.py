"""Which local ports there are, in a file that outlives the panel."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from pathlib import Path

from usbshare.base.errors import InvalidArgumentError
from usbshare.base.paths import make_private, write_private
from usbshare.base.plain_file import read_object
from usbshare.panel.local_ports.wish import Wish

log = logging.getLogger(__name__)

FILE_NAME = "ports.json"
MOST_BYTES = 256 * 1024
_KEY = "local_ports"


def load(folder: Path) -> list[Wish]:
    """Return what was noted; what cannot be read is left out with a warning. Blocks."""
    path = folder / FILE_NAME
    try:
        told = read_object(path, MOST_BYTES).get(_KEY, [])
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        log.warning("the local ports of the last run cannot be read: %s: %s", path, error)
        return []
    found = []
    for each in told if isinstance(told, list) else []:
        try:
            found.append(Wish.of_json(each if isinstance(each, dict) else {}))
        except InvalidArgumentError as error:
            log.warning("%s: %s", path, error)
    return found


def save(folder: Path, wishes: Iterable[Wish]) -> None:
    """Note them; raises OSError. Blocks."""
    make_private(folder)
    content = json.dumps({_KEY: [each.as_json() for each in wishes]}, indent=2)
    write_private(folder / FILE_NAME, content.encode() + b"\n")
