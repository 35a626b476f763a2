"""Which ports which hosts had when they were last seen: a help for typing, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from usbshare.base.deadline import in_time
from usbshare.base.paths import make_private, state_folder, write_private

FILE_NAME = "bridge-seen.json"
MOST_BYTES = 64 * 1024
MOST_HOSTS, MOST_PORTS = 64, 32
MOST_S = 0.5


class SeenHosts:
    """The file; whatever is wrong with it, it helps less, but never blocks."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> dict[str, list[str]]:
        """Return the ports of each host by what it is called; empty where nothing can be read."""
        try:
            with self._path.open("rb") as file:
                found = json.loads(file.read(MOST_BYTES))
        except (OSError, ValueError, RecursionError):
            return {}
        if not isinstance(found, dict):
            return {}
        return {
            name: [each for each in ports if _is_text(each)][:MOST_PORTS]
            for name, ports in list(found.items())[:MOST_HOSTS]
            if _is_text(name) and isinstance(ports, list)
        }

    def note(self, seen: Mapping[str, Iterable[str]]) -> None:
        """Add ports of hosts; the hosts that were seen least recently give way."""
        known = self.load()
        added = {name: sorted({*ports, *known.get(name, ())}) for name, ports in seen.items()}
        content = dict(list({**added, **known, **added}.items())[:MOST_HOSTS])
        if content == known:
            return
        try:
            make_private(self._path.parent)
            write_private(self._path, json.dumps(content).encode() + b"\n")
        except OSError:
            return


def seen_hosts() -> SeenHosts:
    """Return this user's file."""
    return SeenHosts(state_folder() / FILE_NAME)


def note_seen(seen: Mapping[str, Iterable[str]]) -> None:
    """Add ports of hosts to this user's file; a disk that hangs is not waited for."""
    with suppress(TimeoutError):
        in_time("the state folder", lambda: seen_hosts().note(seen), lambda _: None, MOST_S)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value.isprintable() and bool(value)
