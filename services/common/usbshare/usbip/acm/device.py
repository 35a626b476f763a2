"""The serial port itself: what the computer's driver asks, and what the port's owner is told.

Written for Linux's drivers/usb/class/cdc-acm.c, which asks for notifications as long as a program
has the port open, and takes the request back when the last one has closed it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from usbshare.usbip.acm.descriptors import (
    CONTROL_INTERFACE,
    NOTICE_ENDPOINT,
    READ_ENDPOINT,
    WRITE_ENDPOINT,
    PortNames,
)
from usbshare.usbip.acm.notices import Notices
from usbshare.usbip.acm.requests import StandardRequests
from usbshare.usbip.acm.writes import Writes
from usbshare.usbip.cdc import (
    CdcRequest,
    ControlLines,
    LineCoding,
    SerialState,
    parse_line_coding,
    serial_state_notification,
)
from usbshare.usbip.errors import STALLED, UsbipProtocolError
from usbshare.usbip.messages import Direction, SetupPacket, Submit, SubmitReply, parse_setup

_CLASS_OF_INTERFACE = (0x21, 0xA1)
_HIGHEST_STOP_BITS, _HIGHEST_PARITY, _DATA_BITS = 2, 4, (5, 6, 7, 8)


class AcmListener(Protocol):
    """Whom a serial port tells."""

    def acm_opened(self) -> None:
        """Note that a program opened the port."""

    def acm_closed(self) -> None:
        """Note that the last program closed it."""

    def acm_coding(self, coding: LineCoding) -> None:
        """Note settings of the line, which can be."""

    def acm_lines(self, lines: ControlLines) -> None:
        """Note DTR and RTS."""

    def acm_break(self, duration_ms: int, answered: Callable[[bool], None]) -> None:
        """Begin or end a break (BREAK_UNTIL_TOLD, 0), or send one; `answered`: whether it is so."""

    def acm_wrote(self, data: bytes) -> None:
        """Take bytes that a program wrote, never empty."""

    def acm_flushed(self) -> None:
        """Note that a program took back what it wrote and has not left."""

    def acm_readable(self) -> None:
        """Note that there is room again, after a `give` that took less than it was given."""


class AcmDevice:
    """A virtual serial port. `reply` is called once for each transfer that was not taken back."""

    def __init__(
        self,
        names: PortNames,
        listener: AcmListener,
        room_when_empty: int,
        reply: Callable[[SubmitReply], None],
    ) -> None:
        self.coding = LineCoding()
        self.lines = ControlLines(0)
        self.is_open = False
        self._listener = listener
        self._reply = reply
        self._standard = StandardRequests(names)
        self._writes = Writes(room_when_empty, listener.acm_wrote, self._written)
        self._reads: deque[Submit] = deque()
        self._is_starved = self._is_paused = False
        self._notices = Notices()
        self._notice: Submit | None = None
        self._breaks: set[int] = set()

    # What the owner calls.

    def allow(self, room: int) -> None:
        """Take at most so much of what programs write; see Writes."""
        self._writes.allow(room)

    def give(self, data: bytes) -> int:
        """Give the program as many bytes as it asks for, return how many; less: `acm_readable`."""
        taken = 0
        while self._reads and taken < len(data) and not self._is_paused:
            read = self._reads.popleft()
            piece = data[taken : taken + read.length]
            taken += len(piece)
            self._reply(SubmitReply(read.seqnum, 0, len(piece), piece))
        self._is_starved = taken < len(data)
        return taken

    def show(self, levels: SerialState) -> None:
        """Show the lines of the device."""
        self._notices.show(levels)
        self._notify()

    def happened(self, events: SerialState) -> None:
        """Tell the program of line events: a break, an overrun."""
        self._notices.happened(events)
        self._notify()

    # What the computer asks.

    def submit(self, asked: Submit) -> None:
        """Do what is asked, now or later."""
        match asked.endpoint, asked.direction:
            case 0, _:
                self._control(asked, parse_setup(asked.setup))
            case (int(number), Direction.OUT) if number == WRITE_ENDPOINT:
                self._writes.add(asked.seqnum, asked.data)
            case (int(number), Direction.IN) if number == READ_ENDPOINT:
                self._read(asked)
            case (int(number), Direction.IN) if number == NOTICE_ENDPOINT:
                self._wait_for_notice(asked)
            case _:
                self._stall(asked)

    def take_back(self, seqnum: int) -> None:
        """Forget a transfer: it is never ended."""
        self._breaks.discard(seqnum)
        if self._notice is not None and self._notice.seqnum == seqnum:
            self._notice = None
            self._close()
        for read in self._reads:
            if read.seqnum == seqnum:
                self._reads.remove(read)
                self._close()
                break
        if self._writes.remove(seqnum) and self.is_open:
            self._listener.acm_flushed()

    def pause(self) -> None:
        """Give the program nothing: it has not taken what it was given."""
        self._is_paused = True

    def resume(self) -> None:
        """Give it more."""
        self._is_paused = False
        if self._reads:
            self._end_starving()

    def unplugged(self) -> None:
        """Forget everything: the computer does not ask any more."""
        self._reads.clear()
        self._notice = None
        self._breaks.clear()
        self._close()

    def _close(self) -> None:
        if self.is_open:
            self.is_open = False
            self._listener.acm_closed()

    def _read(self, asked: Submit) -> None:
        self._reads.append(asked)
        if not self._is_paused:
            self._end_starving()

    def _end_starving(self) -> None:
        if self._is_starved:
            self._is_starved = False
            self._listener.acm_readable()

    def _written(self, seqnum: int, size: int) -> None:
        self._reply(SubmitReply(seqnum, 0, size))

    def _wait_for_notice(self, asked: Submit) -> None:
        self._notice = asked
        if not self.is_open:
            self.is_open = True
            self._listener.acm_opened()
        self._notify()

    def _notify(self) -> None:
        asked = self._notice
        if asked is None or (state := self._notices.take()) is None:
            return
        self._notice = None
        data = serial_state_notification(CONTROL_INTERFACE, state)[: asked.length]
        self._reply(SubmitReply(asked.seqnum, 0, len(data), data))

    def _control(self, asked: Submit, setup: SetupPacket) -> None:
        if setup.request_type & 0x60 == 0:
            answer = self._standard.answer(setup)
        elif setup.request_type in _CLASS_OF_INTERFACE:
            if setup.request == CdcRequest.SEND_BREAK:
                self._break(asked, setup.value)
                return
            answer = self._class_request(setup, asked.data)
        else:
            answer = None
        if answer is None:
            self._stall(asked)
        elif setup.is_in:
            answer = answer[: min(setup.length, asked.length)]
            self._reply(SubmitReply(asked.seqnum, 0, len(answer), answer))
        else:
            self._reply(SubmitReply(asked.seqnum, 0, len(asked.data)))

    def _class_request(self, setup: SetupPacket, data: bytes) -> bytes | None:
        match setup.request:
            case CdcRequest.SET_LINE_CODING:
                return self._set_coding(data)
            case CdcRequest.GET_LINE_CODING:
                return self.coding.encode()
            case CdcRequest.SET_CONTROL_LINE_STATE:
                self.lines = ControlLines(setup.value & 3)
                self._listener.acm_lines(self.lines)
                return b""
            case _:
                return None

    def _set_coding(self, data: bytes) -> bytes | None:
        try:
            coding = parse_line_coding(data)
        except UsbipProtocolError:
            return None
        if not _can_be(coding):
            return None
        self.coding = coding
        self._listener.acm_coding(coding)
        return b""

    def _break(self, asked: Submit, duration_ms: int) -> None:
        def answered(is_done: bool) -> None:
            if asked.seqnum not in self._breaks:
                return
            self._breaks.discard(asked.seqnum)
            if is_done:
                self._reply(SubmitReply(asked.seqnum))
            else:
                self._stall(asked)

        self._breaks.add(asked.seqnum)
        self._listener.acm_break(duration_ms, answered)

    def _stall(self, asked: Submit) -> None:
        self._reply(SubmitReply(asked.seqnum, STALLED))


def _can_be(coding: LineCoding) -> bool:
    return (
        coding.baud > 0
        and coding.stop_bits <= _HIGHEST_STOP_BITS
        and coding.parity <= _HIGHEST_PARITY
        and coding.data_bits in _DATA_BITS
    )
