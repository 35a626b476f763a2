"""The result of an analysis; `usbshare.job.v1` carries the same on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

from usbshare.sim.planner import Vector


class Severity(Enum):
    """How serious a finding is."""

    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a person should know; `line` is 0 for the whole file, `code` may be empty."""

    line: int
    severity: Severity
    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Box:
    """A box in millimetres, from its lowest to its highest corner."""

    low: Vector
    high: Vector


@dataclass(frozen=True, slots=True)
class FileFacts:
    """The file that was analysed; blank lines and comments count as lines."""

    sha256: bytes
    size_bytes: int
    lines: int


@dataclass(frozen=True, slots=True)
class MachineFacts:
    """What a machine reported: its `$$`, and its work offset (`WCO:`) where it is known."""

    settings: Mapping[int, float]
    work_offset: Vector | None = None


@dataclass(frozen=True, slots=True)
class Analysis:
    """What a file does on a machine; boxes are in work coordinates, `travel` too.

    Without a known work offset `travel` takes the work zero for the lower left corner of the bed.
    `findings` are the first 100 in order of their lines, of `finding_count`. `zero_words` and
    `relative_axes` say what of the boxes does not follow the one work zero (`zero_words.py`).
    """

    file: FileFacts
    duration_s: float
    box: Box | None
    burnt_box: Box | None
    travel: Box | None
    has_machine_settings: bool
    peak_bytes_per_s: float
    line_bytes_per_s: float
    findings: tuple[Finding, ...]
    finding_count: int
    error_count: int
    zero_words: tuple[str, ...] = ()
    relative_axes: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return a value that `json` can write and `from_json` reads."""
        found = asdict(self)
        found["file"]["sha256"] = self.file.sha256.hex()
        for finding, record in zip(found["findings"], self.findings, strict=True):
            finding["severity"] = record.severity.value
        return found

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Analysis:
        """Return the object from which `as_json` was made."""
        file = found["file"]
        values = {
            **found,
            **{name: _box(found[name]) for name in ("box", "burnt_box", "travel")},
            "zero_words": tuple(found["zero_words"]),
            "file": FileFacts(bytes.fromhex(file["sha256"]), file["size_bytes"], file["lines"]),
            "findings": tuple(
                Finding(each["line"], Severity(each["severity"]), each["code"], each["text"])
                for each in found["findings"]
            ),
        }
        return cls(**values)


def _box(found: Mapping[str, Any] | None) -> Box | None:
    return None if found is None else Box(tuple(found["low"]), tuple(found["high"]))
