"""The result of an analysis as a message."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TypedDict

from usbshare.analysis.records import Analysis, Box, Finding, Severity
from usbshare.base.errors import InvalidArgumentError
from usbshare.base.threads import in_thread
from usbshare.job.v1 import job_pb2 as pb
from usbshare.rpc.wire_time import duration

WIDTHS_PX = (64, 4096)
MOST_LINES = 10**12
PIECE_BYTES = 64 * 1024
_SEVERITIES = {Severity.WARNING: pb.SEVERITY_WARNING, Severity.ERROR: pb.SEVERITY_ERROR}


class PreviewAsked(TypedDict):
    """The parameters of a preview."""

    as_json: bool
    width_px: int
    from_line: int


def preview_asked(request: pb.GetPreviewRequest) -> PreviewAsked:
    """Return the parameters of a preview; InvalidArgumentError names the field."""
    least, most = WIDTHS_PX
    if request.width_px and not least <= request.width_px <= most:
        raise InvalidArgumentError(f"width_px is {request.width_px}; {least} to {most} are allowed")
    if request.from_line > MOST_LINES:
        raise InvalidArgumentError(f"from_line is {request.from_line}; no file has that line")
    as_json = request.format == pb.PREVIEW_FORMAT_JSON
    return PreviewAsked(as_json=as_json, width_px=request.width_px, from_line=request.from_line)


async def pieces_of(path: Path) -> AsyncIterator[bytes]:
    """Yield the contents of a file, in pieces that fit a message."""
    with await in_thread(path.open, "rb") as file:
        while piece := await in_thread(file.read, PIECE_BYTES):
            yield piece


def analysis_response(analysis: Analysis) -> pb.AnalyseResponse:
    """Return the last answer of an analysis."""
    return pb.AnalyseResponse(lines_done=analysis.file.lines, analysis=analysis_message(analysis))


def analysis_message(analysis: Analysis) -> pb.Analysis:
    """Return an analysis."""
    file = analysis.file
    return pb.Analysis(
        file=pb.File(sha256=file.sha256, size_bytes=file.size_bytes, lines=file.lines),
        duration=duration(analysis.duration_s),
        box=_box(analysis.box),
        burnt_box=_box(analysis.burnt_box),
        travel=_box(analysis.travel),
        has_machine_settings=analysis.has_machine_settings,
        peak_bytes_per_s=analysis.peak_bytes_per_s,
        line_bytes_per_s=analysis.line_bytes_per_s,
        findings=[_finding(each) for each in analysis.findings],
        finding_count=analysis.finding_count,
        error_count=analysis.error_count,
    )


def _box(box: Box | None) -> pb.Box | None:
    if box is None:
        return None
    low, high = box.low, box.high
    return pb.Box(
        min_x_mm=low[0],
        min_y_mm=low[1],
        min_z_mm=low[2],
        max_x_mm=high[0],
        max_y_mm=high[1],
        max_z_mm=high[2],
    )


def _finding(finding: Finding) -> pb.Finding:
    severity = _SEVERITIES[finding.severity]
    return pb.Finding(line=finding.line, severity=severity, code=finding.code, text=finding.text)
