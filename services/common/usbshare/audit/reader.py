"""Reads logs: what they hold now, of several merged by time, and what is added to them."""

from __future__ import annotations

import heapq
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any, BinaryIO

from usbshare.audit.files import LogFiles, snapshot

Entry = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which lines to show: of whom, of what, from when; patterns as of a shell.

    `text`: a part of who, where from, what, of which port or in which log.
    """

    who: str | None = None
    port: str | None = None
    since: datetime | None = None
    event: str | None = None
    text: str | None = None

    def takes(self, entry: Entry) -> bool:
        """Return whether to show a line."""
        return (
            (self.who is None or _is_whose(str(entry.get("who", "")), self.who))
            and (self.port is None or fnmatchcase(resource_of(entry), self.port))
            and (self.since is None or str(entry.get("time", "")) >= _as_written(self.since))
            and (self.event is None or fnmatchcase(str(entry.get("event", "")), self.event))
            and (self.text is None or self.text.casefold() in _shown_of(entry))
        )


def read_logs(
    logs: Iterable[LogFiles], selection: Selection, moved: Callable[[], None] = lambda: None
) -> Iterator[Entry]:
    """Yield what the logs hold now, in the order of time; `log` names each line's log.

    Calls `moved` for each line that is read. Raises OSError or ConfigError.
    """
    with ExitStack() as stack:
        sources = [_entries(each, stack, moved) for each in logs]
        merged = heapq.merge(*sources, key=_time_of)
        yield from filter(selection.takes, merged)


def _entries(files: LogFiles, stack: ExitStack, moved: Callable[[], None]) -> Iterator[Entry]:
    held = stack.enter_context(snapshot(files))

    def found() -> Iterator[Entry]:
        for file in held.files:
            for line in file.lines():
                moved()
                if (entry := parsed(line, files.name)) is not None:
                    yield entry

    return found()


class Follower:
    """Reads a log's current file and what is added to it, also once that file is put aside.

    Begin with `start`, end with `close`.
    """

    def __init__(self, files: LogFiles) -> None:
        self._files = files
        self._file: BinaryIO | None = None
        self._rest = b""

    @property
    def name(self) -> str:
        """The log's name."""
        return self._files.name

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def start(self) -> None:
        """Take hold of the current file, if there is one."""
        self._open()

    def news(self) -> Iterator[Entry]:
        """Yield what came since the last time; at first all that the current file holds."""
        if self._file is None:
            self._open()
        while self._file is not None:
            yield from self._read(self._file)
            if not self._is_another(self._file):
                return
            yield from self._read(self._file)  # what came before it was put aside
            self.close()
            self._open()

    def _open(self) -> None:
        self._rest = b""
        if self._files.current.exists():
            self._file = self._files.current.open("rb")

    def _is_another(self, file: BinaryIO) -> bool:
        """Return whether the log goes on in another file than this one."""
        try:
            return not os.path.samestat(os.fstat(file.fileno()), self._files.current.stat())
        except FileNotFoundError:
            return False

    def _read(self, file: BinaryIO) -> Iterator[Entry]:
        if os.fstat(file.fileno()).st_size < file.tell():  # an incomplete line was dropped
            file.seek(0, os.SEEK_END)
            self._rest = b""
        *lines, self._rest = (self._rest + file.read()).split(b"\n")
        for line in lines:
            if (entry := parsed(line, self._files.name)) is not None:
                yield entry


def short_name(who: str, own_site: str) -> str:
    """Return an identity as people write it: of the own site only the name."""
    return who.removeprefix(f"usbshare://{own_site}/") if own_site else who


def as_text(entry: Entry, own_site: str, local: Callable[[datetime], datetime]) -> str:
    """Return a line for people: time, log, who, address, port, event, and all else."""
    told = ("time", "who", "address", "port", "event", "log", "seq", "prev", "hash")
    rest = [f"{key}={_value(value)}" for key, value in entry.items() if key not in told]
    who = short_name(str(entry.get("who", "")), own_site)
    if address := entry.get("address"):
        who = f"{who} ({address})" if who else str(address)
    port = f" '{entry['port']}'" if entry.get("port") else ""
    what = f"{entry.get('event', '?')}{port}"
    return " ".join([_local_time(entry, local), what, *([f"by {who}"] if who else []), *rest])


def _value(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    is_plain = text.isprintable() and " " not in text and text
    return text if is_plain else json.dumps(text, ensure_ascii=not text.isprintable())


def _local_time(entry: Entry, local: Callable[[datetime], datetime]) -> str:
    try:
        moment = datetime.fromisoformat(str(entry["time"]))
    except (KeyError, ValueError):
        return "?"
    return local(moment).isoformat(sep=" ", timespec="milliseconds")[:23]


def parsed(line: bytes, log: str) -> Entry | None:
    """Return what a line says, None if it says nothing that can be understood."""
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return {**found, "log": log} if isinstance(found, dict) else None


def _time_of(entry: Entry) -> str:
    return str(entry.get("time", ""))


def _as_written(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")[:23]


def resource_of(entry: Entry) -> str:
    """Return the port or the camera that a line is about."""
    return str(entry.get("port") or entry.get("camera") or "")


def _shown_of(entry: Entry) -> str:
    parts = ("who", "address", "event", "port", "camera", "log", "identity")
    return "\n".join(str(entry.get(each, "")) for each in parts).casefold()


def _is_whose(who: str, wanted: str) -> bool:
    return fnmatchcase(who, wanted) or fnmatchcase(who.rpartition("/")[2], wanted)
