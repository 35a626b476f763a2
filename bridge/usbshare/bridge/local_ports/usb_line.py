"""Line settings, modem lines and names as a USB serial port has them, and as usbshare does."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from usbshare.line.settings import LineEvents, LineSettings, ModemLines, Parity
from usbshare.usbip.acm.descriptors import PortNames
from usbshare.usbip.cdc import LineCoding, SerialState

_PARITIES = (Parity.NONE, Parity.ODD, Parity.EVEN, Parity.MARK, Parity.SPACE)
_STOP_BITS = (1.0, 1.5, 2.0)
_LONGEST_NAME = 126
_MAKER = "usbshare"


def settings_of(coding: LineCoding, before: LineSettings) -> LineSettings:
    """Return the settings that a program asks for; CDC-ACM has no flow control."""
    return replace(
        before,
        baud=coding.baud,
        data_bits=coding.data_bits,
        parity=_PARITIES[coding.parity],
        stop_bits=_STOP_BITS[coding.stop_bits],
    )


def coding_of(settings: LineSettings) -> LineCoding:
    """Return how settings are told to a program that asks."""
    return LineCoding(
        settings.baud,
        _STOP_BITS.index(float(settings.stop_bits)),
        _PARITIES.index(settings.parity),
        settings.data_bits,
    )


def state_of(lines: ModemLines) -> SerialState:
    """Return what a program is shown: it must not wait for lines that the device cannot report."""
    state = SerialState(0)
    if lines.cd is not False:
        state |= SerialState.DCD
    if lines.dsr is not False:
        state |= SerialState.DSR
    if lines.ri:
        state |= SerialState.RING
    return state


def events_of(events: LineEvents) -> SerialState:
    """Return what befell a line as a program is told."""
    happened = (
        (events.line_break, SerialState.BREAK),
        (events.framing_error, SerialState.FRAMING),
        (events.parity_error, SerialState.PARITY),
        (events.overrun, SerialState.OVERRUN),
    )
    return SerialState(sum(flag for is_so, flag in happened if is_so))


def names_of(host: str, port_id: str) -> PortNames:
    """Return what the port of a host is called; its serial number is the same every time."""
    digest = hashlib.sha256(f"{host}/{port_id}".encode()).hexdigest()[:12]
    return PortNames(_MAKER, f"{port_id} at {host}"[:_LONGEST_NAME], digest)
