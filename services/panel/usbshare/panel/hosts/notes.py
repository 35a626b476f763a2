"""Which hosts people added by their addresses, in a file that outlives the panel."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from pathlib import Path

from usbshare.base.errors import InvalidArgumentError
from usbshare.base.paths import make_private, write_private
from usbshare.base.plain_file import read_object
from usbshare.rpc.channel import Target, parse_target

log = logging.getLogger(__name__)

FILE_NAME = "panel-hosts.json"
MOST_BYTES = 64 * 1024
_KEY = "added"


def load(folder: Path) -> list[Target]:
    """Return the hosts that were added; what cannot be read is left out with a warning. Blocks."""
    path = folder / FILE_NAME
    try:
        told = read_object(path, MOST_BYTES).get(_KEY, [])
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        log.warning("the hosts that were added cannot be read: %s: %s", path, error)
        return []
    found = []
    for each in told if isinstance(told, list) else []:
        try:
            found.append(parse_target(str(each)))
        except InvalidArgumentError as error:
            log.warning("%s: %s", path, error)
    return found


def save(folder: Path, added: Iterable[str]) -> None:
    """Note them; raises OSError. Blocks."""
    make_private(folder)
    write_private(folder / FILE_NAME, json.dumps({_KEY: list(added)}, indent=2).encode() + b"\n")
