"""The virtual port over RFC 2217 (telnet), for programs that want settings and modem lines."""

from __future__ import annotations

import logging
import struct
from enum import IntEnum
from typing import Any, cast

from serial.rfc2217 import (
    M_NORMAL,
    SERVER_NOTIFY_LINESTATE,
    SERVER_SET_CONTROL,
    PortManager,
)

from usbshare.bridge.local_ports.loopback_address import LoopbackAddress
from usbshare.bridge.local_ports.program_connection import ProgramConnection
from usbshare.bridge.local_ports.rfc2217_line import Rfc2217Line
from usbshare.bridge.local_ports.tcp import TcpPort
from usbshare.bridge.local_ports.telnet import Command, TelnetError, escape, take_item
from usbshare.bridge.local_ports.virtual_port import VirtualPortListener
from usbshare.line.settings import FlowControl, LineEvents, LineSettings, ModemLines

_HEAD = bytes([0xFF, 0xFA, 44, 5])  # IAC SB COM-PORT-OPTION SET-CONTROL
_MASK_HEAD = bytes([0xFF, 0xFA, 44, 10])  # the same of SET-LINESTATE-MASK
_SERVER_SET_LINESTATE_MASK = bytes([110])
_LENGTH = len(_HEAD) + 3  # its value, IAC SE


class Control(IntEnum):
    """The requests that are answered here (RFC 2217, SET-CONTROL)."""

    ASK_BREAK = 4
    BREAK_ON = 5
    BREAK_OFF = 6
    ASK_DTR = 7
    ASK_RTS = 10
    ASK_INBOUND_FLOW = 13
    INBOUND_NONE = 14
    INBOUND_XON_XOFF = 15
    INBOUND_RTS_CTS = 16
    OUTBOUND_DCD = 17
    INBOUND_DTR = 18
    OUTBOUND_DSR = 19


_OVERRUN, _PARITY, _FRAMING, _BREAK = 2, 4, 8, 16  # of NOTIFY-LINESTATE
_DTR_ON, _RTS_ON = 8, 11
_OUTBOUND = {FlowControl.NONE: 1, FlowControl.XON_XOFF: 2, FlowControl.RTS_CTS: 3}
_INBOUND = {FlowControl.NONE: 14, FlowControl.XON_XOFF: 15, FlowControl.RTS_CTS: 16}


def asked_control(raw: bytes) -> Control | None:
    """Return which of these requests a telnet command is, None for all others."""
    if len(raw) != _LENGTH or not raw.startswith(_HEAD):
        return None
    try:
        return Control(raw[len(_HEAD)])
    except ValueError:
        return None


def asked_mask(raw: bytes) -> int | None:
    """Return which events of the line a telnet command asks for, None for all other commands."""
    value = raw[len(_MASK_HEAD) : -2].replace(b"\xff\xff", b"\xff")
    return value[0] if raw.startswith(_MASK_HEAD) and len(value) == 1 else None


def state_of(events: LineEvents) -> int:
    """Return what befell a line as NOTIFY-LINESTATE has it."""
    bits = (
        (events.overrun, _OVERRUN),
        (events.parity_error, _PARITY),
        (events.framing_error, _FRAMING),
        (events.line_break, _BREAK),
    )
    return sum(bit for is_so, bit in bits if is_so)


def control_in_force(control: Control, line: Rfc2217Line) -> int:
    """Return the value that answers a request: what is in force, asked for or not."""
    match control:
        case Control.ASK_BREAK | Control.BREAK_ON | Control.BREAK_OFF:
            return Control.BREAK_ON if line.break_condition else Control.BREAK_OFF
        case Control.ASK_DTR:
            return _DTR_ON if line.dtr else _DTR_ON + 1
        case Control.ASK_RTS:
            return _RTS_ON if line.rts else _RTS_ON + 1
        case Control.OUTBOUND_DCD | Control.OUTBOUND_DSR:
            return _OUTBOUND[line.settings.flow_control]
        case _:  # both directions always have the same
            return _INBOUND[line.settings.flow_control]


_log = logging.getLogger(__name__)

DEFAULT_PORT = 2217


class Rfc2217Port(TcpPort):
    """VirtualPort over RFC 2217: settings, DTR, RTS, breaks and flushes; lines and events back.

    Requests keep their place among the bytes: while reading is paused they wait with them.
    """

    scheme = "rfc2217"
    answers_who_has_ended = False  # its break and its modem lines must not outlive it

    def __init__(self, address: LoopbackAddress) -> None:
        super().__init__(address)
        self._manager: PortManager | None = None
        self._mask = 0  # of events that the program wants
        self._line: Rfc2217Line

    async def start(self, listener: VirtualPortListener, settings: LineSettings) -> None:
        """Listen, with these settings to show; raises ConfigError."""
        self._line = Rfc2217Line(listener, settings)
        await super().start(listener, settings)

    def apply_settings(self, settings: LineSettings) -> None:
        """Show settings that took effect at the far end to a program that asks."""
        self._line.shown = settings

    def show_lines(self, lines: ModemLines) -> None:
        """Report the device's modem lines to the program."""
        self._line.lines = lines
        if self._program is not None and self._manager is not None:
            self._manager.check_modem_lines()

    def show_events(self, events: LineEvents) -> None:
        """Tell the program what befell the device's line, if it has asked for that."""
        told = state_of(events) & self._mask
        if told and self._program is not None and self._manager is not None:
            self._manager.rfc2217_send_subnegotiation(SERVER_NOTIFY_LINESTATE, bytes([told]))

    def _welcome(self, program: ProgramConnection) -> None:
        """Offer the options of telnet."""
        self._line.forget_program()
        self._mask = 0
        # PortManager needs no more of a port and of a connection than these have.
        self._manager = PortManager(cast(Any, self._line), cast(Any, _Answers(program)))

    def _encoded(self, data: bytes) -> bytes:
        """Return bytes of the device as they travel."""
        return escape(data)

    def _pass_one(self, unread: bytearray) -> bool:
        """Pass bytes on or obey a command; a program that does not speak telnet is hung up."""
        try:
            item = take_item(unread, self._most_bytes)
        except TelnetError as error:
            self._expel(str(error))
            return False
        if isinstance(item, Command):
            self._obey(item)
        elif item is not None:
            self._listener.program_wrote(item)
        return item is not None

    def _obey(self, command: Command) -> None:
        if not command.is_negotiation or self._manager is None:
            return
        if (control := asked_control(command.raw)) is not None:
            self._control(control, self._manager)
            return
        if (mask := asked_mask(command.raw)) is not None:
            self._mask = mask
            self._manager.rfc2217_send_subnegotiation(_SERVER_SET_LINESTATE_MASK, bytes([mask]))
            return
        try:
            for _ in self._manager.filter(command.raw):
                pass
        except (struct.error, LookupError, TypeError):  # PortManager unpacks without looking
            _log.info("ignored a malformed request at %s: %s", self.path, command.raw.hex(" "))
            self._manager.suboption, self._manager.mode = None, M_NORMAL

    def _control(self, control: Control, manager: PortManager) -> None:
        """Answer what PortManager would leave without an answer, or would confirm untried."""

        def answer() -> None:
            if manager is self._manager:
                state = control_in_force(control, self._line)
                manager.rfc2217_send_subnegotiation(SERVER_SET_CONTROL, bytes([state]))

        if control in (Control.BREAK_ON, Control.BREAK_OFF):
            self._line.set_break(on=control is Control.BREAK_ON, answered=answer)
        else:
            answer()

    def _expel(self, why: str) -> None:
        _log.warning("hung up the program at %s: %s", self.path, why)
        if self._program is not None:
            self._program.abort()


class _Answers:
    """Where PortManager writes."""

    def __init__(self, program: ProgramConnection) -> None:
        self._program = program

    def write(self, data: bytes) -> None:
        """Send an answer or a notice."""
        self._program.answer(data)
