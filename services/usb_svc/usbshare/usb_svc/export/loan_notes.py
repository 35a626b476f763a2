"""Which devices this service bound to usbip-host: written before it does so, for its next start.

A device that an administrator bound by hand has no such note, and is never touched.
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from usbshare.base.errors import DeviceError
from usbshare.base.os_errors import in_words
from usbshare.base.paths import make_private, write_private
from usbshare.base.plain_file import read_object
from usbshare.usb_svc.devices.host_device import HostDevice

_log = logging.getLogger(__name__)

_PREFIX = "loan-"
_MOST_BYTES = 4096
_BOOT_ID = "sys/kernel/random/boot_id"


@dataclass(frozen=True, slots=True)
class LentDevice:
    """A physical device: its place, the ids of its descriptor and its serial number."""

    busid: str
    vid: int
    pid: int
    release: int
    serial: str

    @classmethod
    def of(cls, device: HostDevice) -> LentDevice:
        """Return what identifies a device."""
        return cls(device.busid, device.vid, device.pid, device.release, device.serial)


class LoanNotes:
    """One file a device, and the same in memory; `has` does not block, all else does.

    A note of before the last boot is void: the kernel has forgotten that loan.
    """

    def __init__(self, folder: Path, proc: Path) -> None:
        self._folder = folder
        self._proc = proc
        self._noted: dict[str, LentDevice] = {}

    @property
    def noted(self) -> list[LentDevice]:
        """The devices that this service bound and has not given back, by bus id."""
        return [self._noted[busid] for busid in sorted(self._noted)]

    def has(self, device: HostDevice) -> bool:
        """Return whether it is this service that bound a device."""
        return self._noted.get(device.busid) == LentDevice.of(device)

    def load(self) -> None:
        """Read the notes of a killed service; an invalid note frees nothing."""
        try:
            paths = sorted(self._folder.glob(f"{_PREFIX}*"))
        except OSError as error:
            self.nobody_knows(in_words(error))
            return
        for path in paths:
            if (device := self._read(path)) is not None:
                self._noted[device.busid] = device

    def nobody_knows(self, why: str) -> None:
        """Free no device, because the notes cannot be read."""
        _log.error("it is unknown what was lent before, so nothing is freed: %s", why)

    def write(self, device: HostDevice) -> None:
        """Note a device that is about to be bound; raises DeviceError where that is impossible."""
        lent = LentDevice.of(device)
        text = json.dumps({"boot": self._boot_id(), **asdict(lent)})
        try:
            make_private(self._folder)
            write_private(self._path(device.busid), text.encode())
        except OSError as error:
            raise DeviceError(
                f"{device.busid} is not lent, because the loan cannot be recorded: "
                f"{in_words(error)}"
            ) from error
        self._noted[device.busid] = lent

    def remove(self, busid: str) -> None:
        """Forget a device that is free again."""
        self._noted.pop(busid, None)
        try:
            self._path(busid).unlink(missing_ok=True)
        except OSError as error:
            _log.error("cannot remove the record of a loan: %s", in_words(error))

    def _read(self, path: Path) -> LentDevice | None:
        try:
            table = read_object(path, _MOST_BYTES)
            if table.get("boot") != self._boot_id():
                path.unlink()
                return None
            return _lent_device(table)
        except (OSError, ValueError) as error:
            _log.error("cannot interpret %s, so its device is not freed: %s", path, error)
            return None

    def _path(self, busid: str) -> Path:
        return note_path(self._folder, busid)

    def _boot_id(self) -> str:
        try:
            return (self._proc / _BOOT_ID).read_text().strip()
        except OSError:
            return ""


def note_path(folder: Path, busid: str) -> Path:
    """Return where a service whose state folder that is notes a device of a place."""
    return folder / f"{_PREFIX}{busid}"


def _lent_device(table: dict[str, Any]) -> LentDevice:
    """Return the device of a note; raises ValueError where it describes none."""
    texts = [table.get(name) for name in ("busid", "serial")]
    numbers = [table.get(name) for name in ("vid", "pid", "release")]
    busid, serial = (each if isinstance(each, str) else None for each in texts)
    vid, pid, release = (each if isinstance(each, int) else None for each in numbers)
    if busid is None or serial is None or vid is None or pid is None or release is None:
        raise ValueError("it does not describe a device")
    return LentDevice(busid, vid, pid, release, serial)
