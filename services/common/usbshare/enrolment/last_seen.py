"""When each identity last called a service: written to a file at intervals, for `pki list`."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from usbshare.base.paths import make_private, rewrite
from usbshare.base.plain_file import read_plain
from usbshare.base.threads import begin, in_thread

_log = logging.getLogger(__name__)

SEEN_FOLDER = "seen"
WRITE_EVERY_S = 10.0
LAST_WRITE_S = 1.0
MOST_IDENTITIES = 1000


@dataclass(frozen=True, slots=True)
class Sighting:
    """When an identity called, and from which address."""

    time: datetime
    address: str


class Seen:
    """The sightings of one service; `note` only fills a dictionary, `keep` writes.

    `now` returns the aware time.
    """

    def __init__(self, state_folder: Path, service: str, now: Callable[[], datetime]) -> None:
        self._path = state_folder / SEEN_FOLDER / f"{service}.json"
        self._now = now
        self._found: dict[str, Sighting] = {}
        self._is_new = False

    def note(self, uri: str, address: str, fingerprint: str = "") -> None:
        """Remember that the identity called just now."""
        self._found.pop(uri, None)
        if len(self._found) >= MOST_IDENTITIES:
            del self._found[next(iter(self._found))]
        self._found[uri] = Sighting(self._now(), address)
        self._is_new = True

    async def keep(self) -> None:
        """Write new sightings every 10 s until cancelled, and at the end."""
        try:
            while True:
                await asyncio.sleep(WRITE_EVERY_S)
                await in_thread(self._try_to_write)
        finally:
            await asyncio.wait([begin(self._try_to_write)], timeout=LAST_WRITE_S)

    def _try_to_write(self) -> None:
        try:
            self.write()
        except Exception:  # optional information must not end a service
            _log.exception("the last calls are not recorded in %s", self._path)

    def write(self) -> None:
        """Write new sightings; if the folder cannot be written, only they are lost."""
        if not self._is_new:
            return
        self._is_new = False
        found = {**read_sightings(self._path), **self._found.copy()}
        newest = sorted(found.items(), key=lambda each: each[1].time)[-MOST_IDENTITIES:]
        lines = {uri: [each.time.isoformat(), each.address] for uri, each in newest}
        try:
            make_private(self._path.parent)
            rewrite(self._path, json.dumps(lines).encode())
        except OSError as error:
            _log.debug("cannot note who was seen in %s: %s", self._path, error)


def read_sightings(path: Path) -> dict[str, Sighting]:
    """Return the sightings of one service; none if the file is missing or invalid."""
    try:
        found = json.loads(read_plain(path))
        return {uri: _sighting(at, address) for uri, (at, address) in found.items()}
    except (OSError, ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return {}


def _sighting(at: str, address: str) -> Sighting:
    time = datetime.fromisoformat(at)
    if time.tzinfo is None or not isinstance(address, str):
        raise ValueError(f"not a sighting: {at!r}, {address!r}")
    return Sighting(time.astimezone(UTC), address)


def last_seen(state_folder: Path) -> dict[str, Sighting]:
    """Return the newest sighting of every identity, by any service."""
    newest: dict[str, Sighting] = {}
    for path in sorted((state_folder / SEEN_FOLDER).glob("*.json")):
        for uri, sighting in read_sightings(path).items():
            if uri not in newest or sighting.time > newest[uri].time:
                newest[uri] = sighting
    return newest
