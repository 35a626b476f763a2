"""What a machine is asked before a job begins, its `$$` and its work offset; and its modes."""

from __future__ import annotations

import asyncio
import re
from typing import Protocol

from usbshare.analysis.records import MachineFacts
from usbshare.base.errors import WrongStateError
from usbshare.line.machine_report import MachineReport

ASK = b"$$\n"
# What the analysis of a program takes for granted: another program may have left something else.
MODES = b"G0 G17 G21 G90 G94 M5\n"
ANSWER_TIMEOUT_S = 5.0
# Firmware that answers `$$` with `$110=500.000`, a line for each setting.
ANSWERS = frozenset({"grbl", "grblhal", "grbl09"})
_SETTING = re.compile(rb"\$(\d{1,5})=(-?\d+(?:\.\d+)?)")


class Sender(Protocol):
    """What takes a line."""

    async def send(self, line: bytes) -> int:
        """Stream a line with its end."""
        ...


class MachineSettings:
    """Asks once, before the first line of a program; then `facts` has what was answered."""

    def __init__(self) -> None:
        self._settings: dict[int, float] = {}
        self._offset: tuple[float, ...] = ()
        self._answered: asyncio.Future[str] | None = None

    @property
    def is_asking(self) -> bool:
        """Whether the next reply is to our question."""
        return self._answered is not None and not self._answered.done()

    @property
    def facts(self) -> MachineFacts | None:
        """What is known of the machine, None if it has told nothing."""
        if not self._settings:
            return None
        x_y_z = self._offset[:3]
        offset = (x_y_z[0], x_y_z[1], x_y_z[2]) if len(x_y_z) == 3 else None
        return MachineFacts(dict(self._settings), offset)

    async def ask(self, sender: Sender) -> None:
        """Ask; WrongStateError where no reply comes, since it could be taken for another's."""
        await self._sent(sender, ASK)

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
        if self.is_asking and (found := _SETTING.match(line)) is not None:
            self._settings[int(found[1])] = float(found[2])

    def reported(self, report: MachineReport) -> None:
        """Take the work offset of a status report that has one."""
        self._offset = report.work_offset or self._offset

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
