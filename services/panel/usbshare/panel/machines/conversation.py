"""What a machine says, a line at a time, and what kind of line each is. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from usbshare.base.terminal_safe_text import clean_text
from usbshare.line.flow.replies import GRBL_DIALECT, MARLIN_DIALECT, Dialect, Kind
from usbshare.line.machine_report import MachineReport, parse_report
from usbshare.line.profiles import MARLIN, REPRAP, Profile

LONGEST_LINE_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Heard:
    """A whole line; `kind` None for one that means nothing here."""

    text: str
    kind: Kind | None
    report: MachineReport | None = None

    @property
    def is_reply(self) -> bool:
        """Whether it answers a line."""
        return self.kind in (Kind.OK, Kind.ERROR)


class Conversation:
    """Cuts bytes into lines, however they are split; too long ones are cut off."""

    def __init__(self) -> None:
        self._line = bytearray()

    def feed(self, data: bytes, profile: Profile) -> Iterator[Heard]:
        """Yield each line that is whole now."""
        *whole, rest = data.split(b"\n")
        for each in whole:
            self._line += each
            yield _heard(bytes(self._line[:LONGEST_LINE_BYTES]), dialect_of(profile))
            self._line.clear()
        self._line += rest
        del self._line[LONGEST_LINE_BYTES:]

    def reset(self) -> None:
        """Forget a line that was begun."""
        self._line.clear()


def dialect_of(profile: Profile) -> Dialect:
    """Return how a firmware speaks."""
    return MARLIN_DIALECT if profile in (MARLIN, REPRAP) else GRBL_DIALECT


def _heard(line: bytes, dialect: Dialect) -> Heard:
    bare = line.strip(b"\r\t ")
    kind = dialect.kind_of(bare) if bare else None
    report = parse_report(bare, bare, bare) if kind is Kind.REPORT else None
    return Heard(clean_text(bare.decode("utf-8", "replace"), LONGEST_LINE_BYTES), kind, report)
