"""Analyses a G-code file: what the firmware would answer, how far it goes and how long it takes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

from usbshare.analysis.dry_run import DryRun
from usbshare.analysis.extent import Extent
from usbshare.analysis.findings import Findings
from usbshare.analysis.program_check import ProgramCheck
from usbshare.analysis.program_lines import CHUNK_BYTES, program_lines
from usbshare.analysis.records import Analysis, FileFacts, MachineFacts
from usbshare.analysis.supply import Supply
from usbshare.analysis.travel import Travel
from usbshare.analysis.untimed_machine import UntimedMachine
from usbshare.analysis.zero_words import ZeroWords
from usbshare.base.errors import InvalidArgumentError
from usbshare.sim.modal import ORIGIN, Spindle
from usbshare.sim.receive import LINE_CHARACTERS, clean_line
from usbshare.sim.status_codes import Status
from usbshare.sim.status_texts import status_text

MAX_BYTES = 1_000_000_000
# Thirty years: more than any job, and less than what a time on the wire can be.
LONGEST_S = 1e9
_LINES_A_REPORT = 1000
_SHOWN_CHARACTERS = 60
_PAUSE = re.compile(r"M0*0(?![\d.])")
_END = re.compile(r"M0*(?:2|30)(?![\d.])")
_STORES = re.compile(r"\$(?:\d+=|N\d|I=|RST)")
# Power that changes as the machine moves is a laser's.
_POWER_OF_MOVE = re.compile(r"(?=.*[XYZ])(?=.*S)")
_LASER_MODE = 32
_NO_LASER_MODE = (
    "changes the power along its moves, as for a laser, but laser mode is off ($32=0): the beam "
    "burns on rapid moves too, and where the machine stands"
)

# Called with the number of lines read so far; an exception ends the analysis.
Progress = Callable[[int], None]


def check_file(path: Path, max_bytes: int = MAX_BYTES) -> FileFacts:
    """Read a file through; raises InvalidArgumentError if it cannot be G-code or is too large."""
    size = path.stat().st_size
    if size > max_bytes:
        raise InvalidArgumentError(
            f"the file has {size / 1e6:.0f} MB; at most {max_bytes / 1e6:.0f} MB are accepted"
        )
    if not size:
        raise InvalidArgumentError("the file is empty")
    check, digest, size = ProgramCheck(), hashlib.sha256(), 0
    with path.open("rb") as file:
        while piece := file.read(CHUNK_BYTES):
            check.feed(piece)
            digest.update(piece)
            size += len(piece)
    return FileFacts(digest.digest(), size, check.finish())


def analyse(
    path: Path,
    *,
    machine: MachineFacts | None = None,
    passes: int = 1,
    line_bytes_per_s: float = 0.0,
    max_bytes: int = MAX_BYTES,
    progress: Progress | None = None,
) -> Analysis:
    """Analyse a file for a machine; None for a machine that reported nothing.

    `line_bytes_per_s` is what line and link carry, 0 for no bound. Raises InvalidArgumentError if
    the file is no G-code or too large, OSError.
    """
    file = check_file(path, max_bytes)
    reader = _Reader(path, machine, progress)
    duration_s = reader.run()
    reader.judge(passes)
    peak = reader.machine.peak.peak_bytes_per_s
    if 0 < line_bytes_per_s < peak:
        reader.findings.warn(0, _too_slow(peak, line_bytes_per_s))
        duration_s = _Reader(path, machine, None, Supply(line_bytes_per_s)).run()
    zero, findings = reader.travel.zero, reader.findings
    return Analysis(
        file=file,
        duration_s=min(duration_s, LONGEST_S),
        box=reader.extent.box(zero),
        burnt_box=reader.extent.burnt_box(zero),
        travel=reader.travel.in_work_coordinates(),
        has_machine_settings=machine is not None,
        peak_bytes_per_s=peak,
        line_bytes_per_s=line_bytes_per_s,
        findings=findings.first(),
        finding_count=findings.count,
        error_count=findings.error_count,
        zero_words=reader.zero_words.words,
        relative_axes=reader.zero_words.relative_axes,
    )


class _Reader:
    """Runs a file through the simulator and collects the findings."""

    def __init__(
        self,
        path: Path,
        machine: MachineFacts | None,
        progress: Progress | None,
        supply: Supply | None = None,
    ) -> None:
        self._path = path
        self._progress = progress
        self._end_line = 0
        self._first_error = ""
        self._accepted = 0
        self.findings = Findings()
        self.zero_words = ZeroWords()
        self.travel = Travel(machine)
        self.extent = Extent(self.travel.in_machine_coordinates())
        settings = machine.settings if machine is not None else {}
        self._laser_mode_is_off = settings.get(_LASER_MODE) == 0
        self.machine = UntimedMachine(settings, self.travel.zero, self.extent.add)
        self._dry_run = DryRun(self.machine, supply)

    def run(self) -> float:
        """Read to the end and return the time that the job takes."""
        for line in program_lines(self._path):
            if self._progress is not None and line.number % _LINES_A_REPORT == 0:
                self._progress(line.number)
            if not line.code:
                continue
            self.extent.line = line.number
            self._take(line.number, line.code)
            if self._dry_run.asleep:
                self.findings.fail(
                    line.number, "the machine is asleep from here on and accepts only a reset"
                )
                break
        if self._first_error and not self._accepted:
            raise InvalidArgumentError(f"the file contains no G-code: {self._first_error}")
        return self._dry_run.finish()

    def judge(self, passes: int) -> None:
        """Add the findings that need the whole file."""
        self.travel.judge(self.extent, self.findings)
        parser = self.machine.parser
        if passes > 1 and parser.modal.incremental:
            self.findings.warn(0, "a pass ends in G91, and the next one begins with it")
        if passes > 1 and parser.g92 != ORIGIN:
            self.findings.warn(0, "a pass leaves an offset (G92), so the next one is shifted")
        if parser.modal.spindle is not Spindle.OFF:
            self.findings.warn(
                0, "the program ends with the beam or spindle on; a job turns it off after it (M5)"
            )

    def _take(self, number: int, code: bytes) -> None:
        text = clean_line(code).decode("ascii")
        if len(text) > LINE_CHARACTERS:
            status = Status.OVERFLOW
        else:
            status = self._dry_run.run(text, len(code) + 1)
        if status is not Status.OK:
            shown = f"{status_text(status)}: {code[:_SHOWN_CHARACTERS].decode('ascii')}"
            self._first_error = self._first_error or f"line {number}: {shown}"
            self.findings.fail(number, shown, f"error:{int(status)}")
            return
        self._accepted += 1
        self.zero_words.take(text, incremental=self.machine.parser.modal.incremental)
        if self._laser_mode_is_off and _POWER_OF_MOVE.match(text):
            self._laser_mode_is_off = False  # once is enough
            self.findings.warn(number, _NO_LASER_MODE)
        if "M" in text or text[0] == "$":
            self._remark(number, text)
        if self._end_line and self._end_line != number:
            self.findings.warn(
                self._end_line,
                "ends the program, but lines follow it, and the machine executes them too",
            )
            self._end_line = 0

    def _remark(self, number: int, text: str) -> None:
        if text[0] == "$":
            if _STORES.match(text):
                self.findings.warn(number, f"changes what the machine has stored: {text}")
        elif _PAUSE.search(text):
            self.findings.warn(number, "waits until a person resumes (M0)")
        elif _END.search(text):
            self._end_line = number


def _too_slow(peak: float, line: float) -> str:
    return (
        f"this job needs {peak / 1000:.1f} kB/s in its busiest second, this line carries "
        f"{line / 1000:.1f}: the machine would slow down there"
    )
