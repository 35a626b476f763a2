"""What RFC 2217 calls SET-CONTROL, as far as PortManager does not answer it truly."""

from __future__ import annotations

from enum import IntEnum

from usbshare.bridge.local_ports.rfc2217_line import Rfc2217Line
from usbshare.line.settings import FlowControl

_HEAD = bytes([0xFF, 0xFA, 44, 5])  # IAC SB COM-PORT-OPTION SET-CONTROL
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
