"""The events of an open port: bytes, room, modem lines, line events, and its end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace

from usbshare.line.settings import DeviceListener, LineCounts, ModemLines
from usbshare.usbip.cdc import SerialState

_log = logging.getLogger(__name__)

_BEFELL = SerialState.BREAK | SerialState.FRAMING | SerialState.PARITY | SerialState.OVERRUN


class PortEvents:
    """AcmPortListener of one opening: passes on to a DeviceListener, and knows the lines.

    `failed` is called once, with why nothing more will come.
    """

    def __init__(
        self, name: str, listener: DeviceListener, lines: ModemLines, failed: Callable[[str], None]
    ) -> None:
        # Who knows nothing of before takes the first event for what was there.
        self.lines = replace(lines, counts=LineCounts())
        self.failed = failed
        self.received = listener.data_received
        self.room = listener.writable
        self._name = name
        self._listener = listener
        self._progress = asyncio.Event()
        self._befell: dict[SerialState, int] = {}

    def set_outputs(self, *, dtr: bool | None, rts: bool | None) -> None:
        """Note which lines were set."""
        self.lines = replace(self.lines, dtr=dtr, rts=rts)

    def progressed(self) -> None:
        """Wake who waits for the end of what was written."""
        self._progress.set()

    async def progress(self) -> None:
        """Wait until the device has taken bytes, or has gone."""
        self._progress.clear()
        await self._progress.wait()

    def notified(self, state: SerialState) -> None:
        """Pass on the modem lines and line events; events are logged too."""
        known = replace(
            self.lines,
            cd=SerialState.DCD in state,
            dsr=SerialState.DSR in state,
            ri=SerialState.RING in state,
        )
        if known != self.lines:
            self.lines = known
            self._listener.lines_changed(known)
        for each in _BEFELL & state:
            self._note(each)
        if _BEFELL & state:
            self.lines = replace(self.lines, counts=self._counts)
            self._listener.lines_changed(self.lines)

    @property
    def _counts(self) -> LineCounts:
        kinds = (
            *(SerialState.BREAK, SerialState.FRAMING),
            *(SerialState.PARITY, SerialState.OVERRUN),
        )
        return LineCounts(*(self._befell.get(each, 0) for each in kinds))

    def _note(self, befell: SerialState) -> None:
        self._befell[befell] = count = self._befell.get(befell, 0) + 1
        if count & (count - 1) == 0:  # the first, and ever fewer of many
            _log.warning("%s reports %s (%d so far)", self._name, befell.name, count)
