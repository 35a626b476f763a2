"""An analysis for people, and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from usbshare.analysis.records import Analysis, Box, Finding, Severity
from usbshare.base.durations import in_words
from usbshare.base.sizes import size_text

_AXES = "XYZ"


def as_text(analysis: Analysis, name: str) -> str:
    """Return a page about a file."""
    return "\n".join([*_facts(analysis, name), *_findings(analysis)])


def as_object(analysis: Analysis, name: str) -> dict[str, Any]:
    """Return what `--json` prints."""
    found = analysis.as_json()
    for inner in ("zero_words", "relative_axes"):  # for job-svc
        del found[inner]
    return {"name": name, **found}


def _facts(analysis: Analysis, name: str) -> Iterator[str]:
    file = analysis.file
    yield f"{name}: {file.lines:,} lines, {size_text(file.size_bytes)}"
    basis = "the machine's own settings" if analysis.has_machine_settings else "GRBL's defaults"
    yield _row("time", f"{in_words(analysis.duration_s)}, by {basis}")
    yield _row("moves", _span(analysis.box) or "nothing")
    yield _row("burns", _span(analysis.burnt_box) or "nothing")
    if analysis.travel is not None:
        yield _row("reach", _span(analysis.travel))
    needs = f"{analysis.peak_bytes_per_s / 1000:.1f} kB/s in its busiest second"
    if analysis.line_bytes_per_s:
        needs += f"; the line carries {analysis.line_bytes_per_s / 1000:.1f}"
    yield _row("needs", needs)


def _findings(analysis: Analysis) -> Iterator[str]:
    if not analysis.finding_count:
        yield "no findings"
        return
    warnings = analysis.finding_count - analysis.error_count
    yield f"{_count(analysis.error_count, 'error')}, {_count(warnings, 'warning')}"
    for finding in analysis.findings:
        yield f"  {_finding(finding)}"
    if left := analysis.finding_count - len(analysis.findings):
        yield f"  and {left:,} more"


def _finding(finding: Finding) -> str:
    place = f"line {finding.line}" if finding.line else "file"
    kind = finding.code or ("error" if finding.severity is Severity.ERROR else "warning")
    return f"{place:<12} {kind:<9} {finding.text}"


def _row(label: str, text: str) -> str:
    return f"  {label:<6} {text}"


def _span(box: Box | None) -> str:
    if box is None:
        return ""
    spans = zip(_AXES, box.low, box.high, strict=True)
    texts = [f"{axis} {low:.1f} to {high:.1f}" for axis, low, high in spans if low or high]
    return (", ".join(texts) or "only at the work zero") + " mm"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
