"""The findings of an analysis: all are counted, the first ones are kept."""

from __future__ import annotations

from usbshare.analysis.records import Finding, Severity

KEPT = 100


class Findings:
    """Takes findings in any order; those of one line keep the order in which they came."""

    def __init__(self) -> None:
        self._kept: list[Finding] = []
        self.count = 0
        self.error_count = 0

    def warn(self, line: int, text: str) -> None:
        """Add a warning; line 0 is the whole file."""
        self._add(Finding(line, Severity.WARNING, "", text))

    def fail(self, line: int, text: str, code: str = "") -> None:
        """Add an error: the firmware would reject it, or the machine cannot do it."""
        self._add(Finding(line, Severity.ERROR, code, text))

    def first(self) -> tuple[Finding, ...]:
        """Return the first findings in order of their lines."""
        return tuple(sorted(self._kept, key=_line)[:KEPT])

    def _add(self, finding: Finding) -> None:
        self.count += 1
        self.error_count += finding.severity is Severity.ERROR
        self._kept.append(finding)
        if len(self._kept) >= 2 * KEPT:
            self._kept = sorted(self._kept, key=_line)[:KEPT]


def _line(finding: Finding) -> int:
    return finding.line
