"""The latches of all ports, kept in the state folder: a restart forgets no stop.

One file per port, read before any device is opened. A file keeps its size and is overwritten in
place, which needs no room on a full disk. Each is synced to disk: a laser may have its own power
supply and stay on during a reboot of the host. Anything that cannot be read counts as a latch;
only a missing folder or file does not, since that is the state at a first start.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from usbshare.base.paths import make_private
from usbshare.base.state_files import read_note
from usbshare.line.physical_device import PhysicalDevice, physical_device_from
from usbshare.serial_svc.line.latch import Latch, LatchCause, LatchRecord
from usbshare.serial_svc.line.port_config import PortConfig

log = logging.getLogger(__name__)

NOTE_BYTES = 4096
LONGEST_TEXT = 200
LARGEST_EPOCH = 1 << 62
WHO = "serial-svc"
UNREADABLE = "whether the port was latched cannot be read"
_PREFIX = "latch-"
# A FIFO in place of a note fails (ENXIO) rather than wait for a reader.
_WRITING = os.O_WRONLY | os.O_CREAT | getattr(os, "O_NONBLOCK", 0)


class Keeper(Protocol):
    """Does blocking work in a thread: of each key the newest."""

    def put(self, key: str, work: Callable[[], object]) -> None:
        """Have work done soon; never waits."""


@dataclass(frozen=True, slots=True)
class Note:
    """What one file says; `record` None if the port was not latched, `source` "" if unknown.

    `devices` are the physical devices that the port had and that the record is about.
    """

    path: Path
    source: str
    epoch: int
    record: LatchRecord | None
    devices: frozenset[PhysicalDevice] = frozenset()


@dataclass(frozen=True, slots=True)
class Found:
    """What the folder says; `trouble` is why it could not be read, empty if it could."""

    notes: list[Note] = field(default_factory=list)
    trouble: str = ""


def read_notes(folder: Path, utc: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Found:
    """Read the folder; blocks. Raises nothing: what cannot be read counts as a latch."""
    try:
        paths = sorted(path for path in folder.iterdir() if path.name.startswith(_PREFIX))
    except FileNotFoundError:
        return Found()
    except OSError as error:
        return Found(trouble=f"{folder}: {error.strerror or error}")
    return Found([_read_note(path, utc()) for path in paths])


@dataclass(slots=True)
class _Kept:
    """The latch of one port, the devices that it is about, and the notes that it replaces.

    `device` is the one that it has now; `taken` are the records that it once had, so that what a
    person has released does not come back from another port's note.
    """

    config: PortConfig
    latch: Latch
    devices: set[PhysicalDevice]
    replaced: set[Path]
    taken: set[LatchRecord] = field(default_factory=set)
    device: PhysicalDevice | None = None


class LatchNotes:
    """Gives each port its latch, always the same one, and keeps what becomes of it.

    Services of one host share the folder: a file is named by its `owner` and the port's id, and is
    found again by that name, by the source, or, once the port is open, by its physical device.
    """

    def __init__(
        self,
        folder: Path,
        owner: str,
        found: Found,
        keeper: Keeper,
        utc: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._folder = folder
        self._owner = owner
        self._found = found
        self._keeper = keeper
        self._utc = utc
        self._kept: dict[str, _Kept] = {}

    def of(self, config: PortConfig) -> Latch:
        """Return the latch of a port."""
        kept = self._kept.get(config.id)
        if kept is None:
            kept = self._kept[config.id] = self._make(config)
            kept.latch.keep()
        kept.config = config
        return kept.latch

    def _make(self, config: PortConfig) -> _Kept:
        own = self._path(config.id)
        matching = [note for note in self._found.notes if _is_about(note, own, config)]
        # Past every epoch before it; the time is, where none can be read.
        epoch = max(int(self._utc().timestamp()), *(note.epoch + 1 for note in matching), 1)
        record = _latest(note.record for note in matching)
        if record is not None:
            record = replace(record, epoch=min(record.epoch, epoch) or epoch)
        if self._found.trouble:
            record = LatchRecord(WHO, f"{UNREADABLE}: {self._found.trouble}", self._utc(), epoch)
        if record is not None:
            log.warning("port '%s' is latched by a stop: %s", config.id, record)
        latch = Latch(
            *(epoch, record),
            lambda _: self._keep(config.id),
            self._utc,
            lambda _, device: self._device_opened(config.id, device),
        )
        devices = {device for note in matching for device in note.devices}
        taken = {note.record for note in matching if note.record is not None}
        return _Kept(config, latch, devices, {note.path for note in matching}, taken)

    def _keep(self, port_id: str) -> None:
        kept, own = self._kept[port_id], self._path(port_id)
        if kept.latch.record is not None:
            kept.taken.add(kept.latch.record)
        elif kept.device is not None:
            kept.devices.intersection_update({kept.device})
        text, replaced = _text_of(kept.config, kept.latch, kept.devices), set(kept.replaced)

        def write() -> None:
            in_use = {self._path(each) for each in tuple(self._kept)}
            _write(self._folder, own, text, sorted(replaced - in_use))

        self._keeper.put(_key(port_id), write)

    def _device_opened(self, port_id: str, device: PhysicalDevice) -> None:
        """Latch a port by what latched its device under another id and source."""
        kept = self._kept[port_id]
        is_new = device not in kept.devices
        kept.device = device
        kept.devices.add(device)
        others = [
            note
            for note in self._others(port_id)
            if note.record is not None
            and note.record not in kept.taken
            and _has_had(note, device, in_any_socket=is_new)
        ]
        record = _latest([kept.latch.record, *(note.record for note in others)])
        if record is None or not others:
            return
        kept.replaced.update(note.path for note in others if device in note.devices)
        kept.taken.update(note.record for note in others if note.record)
        kept.latch.take_over(record, max(note.epoch for note in others))
        log.warning("port '%s' has a device that is latched by a stop: %s", port_id, record)

    def _others(self, port_id: str) -> list[Note]:
        """Return what is known of other ports: those of this service as they are now."""
        now = {
            self._path(other): Note(
                self._path(other),
                kept.config.source,
                kept.latch.epoch,
                kept.latch.record,
                frozenset(kept.devices),
            )
            for other, kept in self._kept.items()
        }
        own = self._path(port_id)
        notes = {note.path: note for note in self._found.notes} | now
        return [note for path, note in notes.items() if path != own]

    def _path(self, port_id: str) -> Path:
        return self._folder / f"{_PREFIX}{self._owner}-{port_id}"


def _is_about(note: Note, own: Path, config: PortConfig) -> bool:
    """Return whether a note is this port's: by its name, or by its device under any name."""
    if note.path == own:
        return True
    if not note.source:  # damaged: only its name is known
        return note.path.name.endswith(f"-{config.id}")
    # Simulated machines have no identity but their port's.
    return note.source == config.source[:LONGEST_TEXT] and not note.source.startswith("sim:")


def _has_had(note: Note, device: PhysicalDevice, *, in_any_socket: bool) -> bool:
    """Return whether a note is about a device, or one that says it has the same serial number."""
    if device in note.devices:
        return True
    if not (in_any_socket and device.serial):
        return False
    return device.without_socket in {each.without_socket for each in note.devices}


def _key(port_id: str) -> str:
    return f"latch {port_id}"


def _latest(records: Iterable[LatchRecord | None]) -> LatchRecord | None:
    """Return the last stop, or else the last lost job, which a reset too releases."""

    def weight(record: LatchRecord) -> tuple[bool, datetime]:
        return record.cause is LatchCause.EMERGENCY_STOP, record.at

    return max((each for each in records if each), key=weight, default=None)


def _text_of(config: PortConfig, latch: Latch, devices: Iterable[PhysicalDevice] = ()) -> bytes:
    record = latch.record
    said: dict[str, Any] = {
        "port": config.id,
        "source": config.source[:LONGEST_TEXT],
        "epoch": latch.epoch,
        "latched": None,
        "devices": [device.as_table() for device in devices],
    }
    if record is not None:
        said["latched"] = {
            "by": record.who[:LONGEST_TEXT],
            "reason": record.why[:LONGEST_TEXT],
            "at": record.at.isoformat(),
            "epoch": record.epoch,
            "cause": record.cause.value,
        }
    text = json.dumps(said, ensure_ascii=False).encode(errors="replace")
    return text[: NOTE_BYTES - 1].ljust(NOTE_BYTES - 1) + b"\n"


def _read_note(path: Path, now: datetime) -> Note:
    try:
        said = json.loads(read_note(path, NOTE_BYTES))
        record = _record_of(said["latched"])
        devices = frozenset(physical_device_from(each) for each in said.get("devices", ()))
        return Note(path, str(said["source"]), _epoch_of(said["epoch"]), record, devices)
    except OSError as error:
        why = error.strerror or str(error)
    except (ValueError, TypeError, LookupError, ArithmeticError, RecursionError):
        why = "it is damaged"
    log.error("%s cannot be read: %s: its port counts as latched", path, why)
    return Note(path, "", 0, LatchRecord(WHO, f"{UNREADABLE}: {path}: {why}", now, 0))


def _record_of(said: Any) -> LatchRecord | None:
    if said is None:
        return None
    at = datetime.fromisoformat(said["at"]).astimezone(UTC)
    epoch, cause = _epoch_of(said["epoch"]), LatchCause(said["cause"])
    return LatchRecord(str(said["by"]), str(said["reason"]), at, epoch, cause)


def _epoch_of(said: Any) -> int:
    epoch = int(said)
    if not 0 <= epoch < LARGEST_EPOCH:
        raise ValueError(f"epoch {epoch} is out of range")
    return epoch


def _write(folder: Path, path: Path, text: bytes, others: list[Path]) -> None:
    """Write a note and remove those that it takes the place of; raises OSError."""
    make_private(folder)
    is_new = not path.exists()
    with open(os.open(path, _WRITING, 0o600), "wb", buffering=0) as file:
        file.write(text)
        os.fsync(file.fileno())
    if is_new:
        _sync(folder)
    for other in others:
        other.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    with suppress(OSError):  # Windows opens no folder
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
