"""What a machine says of itself before a job begins: its `$$` and its work offset."""

from __future__ import annotations

import asyncio
import re
from typing import Protocol

from usbshare.analysis.records import MachineFacts
from usbshare.base.errors import WrongStateError
from usbshare.line.machine_report import MachineReport

ASK = b"$$\n"
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
        self._answered: asyncio.Future[None] | None = None

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
        self._answered = asyncio.get_running_loop().create_future()
        await sender.send(ASK)
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                await self._answered
        except TimeoutError as error:
            raise WrongStateError("the machine does not answer `$$`: reset it first") from error

    def replied(self) -> None:
        """Note the reply to our question."""
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(None)

    def said(self, line: bytes) -> None:
        """Take a line that is no reply."""
        if self.is_asking and (found := _SETTING.match(line)) is not None:
            self._settings[int(found[1])] = float(found[2])

    def reported(self, report: MachineReport) -> None:
        """Take the work offset of a status report that has one."""
        self._offset = report.work_offset or self._offset
