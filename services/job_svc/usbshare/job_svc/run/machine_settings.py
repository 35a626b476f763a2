"""What a machine is asked before a job begins: settings, zeros and place; and its modes then."""

from __future__ import annotations

import asyncio
import re
from typing import Protocol

from usbshare.analysis.records import MachineFacts
from usbshare.base.errors import WrongStateError
from usbshare.job_svc.run.bed import Standing
from usbshare.line.machine_report import MachineReport
from usbshare.sim.planner import Vector
from usbshare.sim.resolve import MM_PER_INCH

ASK = (b"$$\n", b"$#\n", b"$G\n")
# What the analysis of a program takes for granted: another program may have left something else.
MODES = b"G0 G17 G21 G90 G94 M5\n"
ANSWER_TIMEOUT_S = 5.0
# Firmware that answers `$$` with `$110=500.000`, a line for each setting.
ANSWERS = frozenset({"grbl", "grblhal", "grbl09"})
_SETTING = re.compile(rb"\$(\d{1,5})=(-?\d+(?:\.\d+)?)")
_NUMBER = rb"-?\d+(?:\.\d+)?"
_OFFSET = re.compile(rb"\[(G5[4-9](?:\.\d)?|G92):(" + _NUMBER + rb"(?:," + _NUMBER + rb")+)\]")
_TOOL_LENGTH = re.compile(rb"\[TLO:(" + _NUMBER + rb")\]")
_SYSTEM = re.compile(rb"\[(?:GC:)?G\d.*\b(G5[4-9](?:\.\d)?)\b")
_IN_INCHES = 13


class Sender(Protocol):
    """What takes a line."""

    async def send(self, line: bytes) -> int:
        """Stream a line with its end."""
        ...


class MachineSettings:
    """Asks once, before the first line of a program; then `facts` has what was answered."""

    def __init__(self) -> None:
        self._settings: dict[int, float] = {}
        self._offsets: dict[str, Vector] = {}
        self._tool_length: float | None = None
        self._system = ""
        self._report: MachineReport | None = None
        self._answered: asyncio.Future[str] | None = None

    @property
    def is_asking(self) -> bool:
        """Whether the next reply is to our question."""
        return self._answered is not None and not self._answered.done()

    @property
    def facts(self) -> MachineFacts | None:
        """The machine's settings, None if it has told none."""
        return MachineFacts(dict(self._settings)) if self._settings else None

    @property
    def standing(self) -> Standing | None:
        """Where the machine is and which work zero it has, None if it has told no settings."""
        if not self._settings:
            return None
        unit = MM_PER_INCH if self._settings.get(_IN_INCHES) else 1.0
        offset = self._work_offset(unit)
        facts = MachineFacts(dict(self._settings), offset)
        return Standing(facts, self._system, self._position(unit, offset))

    async def ask(self, sender: Sender) -> None:
        """Ask; WrongStateError where no reply comes, since it could be taken for another's."""
        for question in ASK:
            await self._sent(sender, question)

    async def set_modes(self, sender: Sender) -> None:
        """Bring the machine to the modes in which programs are analysed; nothing moves by it.

        WrongStateError where it does not take them.
        """
        if trouble := await self._sent(sender, MODES):
            raise WrongStateError(f"the machine does not take `{_shown(MODES)}`: {trouble}")

    def replied(self, trouble: str = "") -> None:
        """Note the reply to our question; `trouble` is one that is no `ok`."""
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(trouble)

    def said(self, line: bytes) -> None:
        """Take a line that is no reply."""
        if not self.is_asking:
            return
        if (found := _SETTING.match(line)) is not None:
            self._settings[int(found[1])] = float(found[2])
        elif (found := _OFFSET.match(line)) is not None:
            x, y, z, *_ = (*map(float, found[2].split(b",")), 0.0, 0.0)
            self._offsets[found[1].decode("ascii")] = (x, y, z)
        elif (found := _TOOL_LENGTH.match(line)) is not None:
            self._tool_length = float(found[1])
        elif (found := _SYSTEM.match(line)) is not None:
            self._system = found[1].decode("ascii")

    def reported(self, report: MachineReport) -> None:
        """Take where the machine is."""
        self._report = report

    def _work_offset(self, unit: float) -> Vector | None:
        system, extra = self._offsets.get(self._system), self._offsets.get("G92")
        if system is None or extra is None or self._tool_length is None:
            return None
        (x, y, z), (u, v, w) = system, extra
        return ((x + u) * unit, (y + v) * unit, (z + w + self._tool_length) * unit)

    def _position(self, unit: float, offset: Vector | None) -> tuple[float, ...]:
        """Return the place in machine coordinates; reports say that or the program's ($10)."""
        if self._report is None:
            return ()
        if self._report.machine_position:
            return tuple(each * unit for each in self._report.machine_position)
        work = self._report.work_position[:3]
        if offset is None or len(work) < len(offset):
            return ()
        return tuple(at * unit + by for at, by in zip(work, offset, strict=True))

    async def _sent(self, sender: Sender, line: bytes) -> str:
        self._answered = asyncio.get_running_loop().create_future()
        await sender.send(line)
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                return await self._answered
        except TimeoutError as error:
            why = f"the machine does not answer `{_shown(line)}`: reset it first"
            raise WrongStateError(why) from error


def _shown(line: bytes) -> str:
    return line.decode("ascii").strip()
