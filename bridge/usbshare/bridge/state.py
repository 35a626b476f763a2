"""What a bridge did last, kept apart from the configuration; it never blocks a bridge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from usbshare.base.paths import make_private, state_folder, write_private
from usbshare.base.plain_file import read_object

FILE_NAME = "bridge.json"
KINDS = ("vcom", "usb_port", "tcp", "rfc2217")
MOST_BYTES = 64 * 1024
_MOST_KEPT_ASIDE = 99

Warn = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class LastUsed:
    """What to do again; empty is unknown.

    `target` is an address, `name` what it was found by and `tls_name` whose certificate it had,
    where a name was given. `origin`: what else than a bridge noted it, `enrolled`.
    """

    target: str = ""
    name: str = ""
    tls_name: str = ""
    port: str = ""
    vcom: str = ""
    usb_port: str = ""
    tcp: str = ""
    rfc2217: str = ""
    camera: str = ""
    origin: str = ""

    @property
    def virtual_port(self) -> tuple[str, str] | None:
        """The kind of virtual port and its value: `("vcom", "COM10")`."""
        values = ((kind, str(getattr(self, kind))) for kind in KINDS)
        return next((each for each in values if each[1]), None)


class StateFile:
    """The file; several bridges of one computer share it, and the last writer wins."""

    def __init__(self, path: Path, warn: Warn) -> None:
        self._path = path
        self._warn = warn

    def load(self) -> LastUsed:
        """Return what was used last; a damaged file is kept aside, with a warning."""
        found = self._read()
        names = [field.name for field in fields(LastUsed)]
        return LastUsed(**{name: found[name] for name in names if _is_text(found.get(name))})

    def save(self, last: LastUsed) -> None:
        """Write it in one step, with what other versions noted there; a failure is a warning."""
        import json  # noqa: PLC0415 - a stop that needs no memory does not wait for it

        content = {**self._read(), **asdict(last)}
        try:
            make_private(self._path.parent)
            write_private(self._path, json.dumps(content, indent=2).encode() + b"\n")
        except OSError as error:
            self._warn(f"cannot remember the options used now: {self._path}: {error.strerror}")

    def _read(self) -> dict[str, Any]:
        try:
            return read_object(self._path, MOST_BYTES)
        except FileNotFoundError:
            return {}
        except OSError as error:
            self._warn(f"cannot read the options used last: {self._path}: {error.strerror}")
        except ValueError as error:
            self._keep_aside(str(error))
        return {}

    def _keep_aside(self, why: str) -> None:
        candidates = (
            self._path.with_name(f"{self._path.name}.damaged-{number}")
            for number in range(1, _MOST_KEPT_ASIDE + 1)
        )
        aside = next((path for path in candidates if not path.exists()), None)
        kept = f"it is kept as {aside}" if aside else "it will be replaced"
        self._warn(f"cannot read the options used last: {self._path} is damaged ({why}); {kept}")
        try:
            if aside:
                self._path.rename(aside)
        except OSError as error:
            self._warn(f"{self._path} could not be renamed: {error.strerror}")


def bridge_state(warn: Warn) -> StateFile:
    """Return this user's state file."""
    return StateFile(state_folder() / FILE_NAME, warn)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value.isprintable()
