"""CDC-ACM, the class of USB serial ports: its descriptors, requests and notifications.

Source: USB Class Definitions for Communications Devices 1.2 and its Subclass Specification for
PSTN Devices 1.2.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum, IntFlag

from usbshare.usbip.descriptors import (
    ConfigurationDescriptor,
    EndpointDescriptor,
    InterfaceDescriptor,
    Kind,
    Transfer,
)
from usbshare.usbip.errors import UsbipProtocolError
from usbshare.usbip.messages import SETUP, SetupPacket

COMMUNICATIONS, DATA = 0x02, 0x0A
ACM = 0x02
LINE_CODING_BYTES = 7
BREAK_UNTIL_TOLD = 0xFFFF
_OUT, _IN = 0x21, 0xA1  # class requests to an interface
_LINE_CODING = struct.Struct("<IBBB")


class CdcRequest(IntEnum):
    """bRequest of class requests."""

    SET_LINE_CODING = 0x20
    GET_LINE_CODING = 0x21
    SET_CONTROL_LINE_STATE = 0x22
    SEND_BREAK = 0x23


class Notification(IntEnum):
    """bNotificationCode."""

    NETWORK_CONNECTION = 0x00
    SERIAL_STATE = 0x20


class FunctionalKind(IntEnum):
    """bDescriptorSubtype of functional descriptors."""

    HEADER = 0
    CALL_MANAGEMENT = 1
    ACM = 2
    UNION = 6


class AcmCapability(IntFlag):
    """What a device says that it can."""

    COMM_FEATURE = 1
    LINE_CODING = 2
    SEND_BREAK = 4
    NETWORK_CONNECTION = 8


_NO_CAPABILITY = AcmCapability(0)


class ControlLines(IntFlag):
    """wValue of SET_CONTROL_LINE_STATE."""

    DTR = 1
    RTS = 2


class SerialState(IntFlag):
    """What a device reports; BREAK to OVERRUN are events, the others states."""

    DCD = 1
    DSR = 2
    BREAK = 4
    RING = 8
    FRAMING = 0x10
    PARITY = 0x20
    OVERRUN = 0x40


@dataclass(frozen=True, slots=True)
class LineCoding:
    """Settings of the line as CDC numbers them: stop bits 0, 1, 2 are 1, 1.5, 2; parity NOEMS."""

    baud: int = 9600
    stop_bits: int = 0
    parity: int = 0
    data_bits: int = 8

    def encode(self) -> bytes:
        """Return the bytes."""
        return _LINE_CODING.pack(self.baud, self.stop_bits, self.parity, self.data_bits)


@dataclass(frozen=True, slots=True)
class AcmFunction:
    """One serial port of a device, and what is to be chosen to use it."""

    configuration: int
    control_interface: int
    data_interface: int
    data_alternate: int
    bulk_in: EndpointDescriptor
    bulk_out: EndpointDescriptor
    notifications: EndpointDescriptor | None
    capabilities: AcmCapability = _NO_CAPABILITY


def parse_line_coding(data: bytes) -> LineCoding:
    """Read the data of SET_LINE_CODING; raises UsbipProtocolError."""
    if len(data) < LINE_CODING_BYTES:
        raise UsbipProtocolError(f"line coding {data.hex()} has less than 7 bytes")
    return LineCoding(*_LINE_CODING.unpack_from(data))


def set_line_coding(interface: int) -> SetupPacket:
    """Return the request that the bytes of a LineCoding follow."""
    return SetupPacket(_OUT, CdcRequest.SET_LINE_CODING, 0, interface, LINE_CODING_BYTES)


def set_control_lines(interface: int, lines: ControlLines) -> SetupPacket:
    """Return the request that sets DTR and RTS."""
    return SetupPacket(_OUT, CdcRequest.SET_CONTROL_LINE_STATE, lines, interface)


def send_break(interface: int, *, on: bool) -> SetupPacket:
    """Return the request that begins or ends a break."""
    duration = BREAK_UNTIL_TOLD if on else 0
    return SetupPacket(_OUT, CdcRequest.SEND_BREAK, duration, interface)


def serial_state_notification(interface: int, state: SerialState) -> bytes:
    """Return what a device sends when its lines change, or on a break or line error."""
    return SETUP.pack(_IN, Notification.SERIAL_STATE, 0, interface, 2) + struct.pack("<H", state)


def take_serial_states(unread: bytearray) -> list[SerialState]:
    """Take whole notifications out of what came and return the serial states among them.

    A notification may be cut into several packets, and other kinds are passed over.
    """
    states = []
    while len(unread) >= SETUP.size:
        _, code, _, _, length = SETUP.unpack_from(unread)
        end = SETUP.size + length
        if len(unread) < end:
            break
        if code == Notification.SERIAL_STATE and length >= 2:
            value = int.from_bytes(unread[SETUP.size : SETUP.size + 2], "little")
            states.append(SerialState(value & 0x7F))
        del unread[:end]
    return states


def acm_descriptors(
    control_interface: int,
    data_interface: int,
    capabilities: AcmCapability = AcmCapability.LINE_CODING | AcmCapability.SEND_BREAK,
) -> tuple[bytes, ...]:
    """Return the functional descriptors of a serial port, `extra` of its control interface."""
    return (
        bytes((5, Kind.CLASS_INTERFACE, FunctionalKind.HEADER, 0x10, 0x01)),
        bytes((5, Kind.CLASS_INTERFACE, FunctionalKind.CALL_MANAGEMENT, 0, data_interface)),
        bytes((4, Kind.CLASS_INTERFACE, FunctionalKind.ACM, capabilities)),
        bytes((5, Kind.CLASS_INTERFACE, FunctionalKind.UNION, control_interface, data_interface)),
    )


def acm_functions(configuration: ConfigurationDescriptor) -> tuple[AcmFunction, ...]:
    """Return the serial ports of a configuration, in the order of their interfaces."""
    found = (
        _acm_function(configuration, each)
        for each in configuration.interfaces
        if (each.class_, each.subclass, each.alternate) == (COMMUNICATIONS, ACM, 0)
    )
    return tuple(each for each in found if each is not None)


def _acm_function(
    configuration: ConfigurationDescriptor, control: InterfaceDescriptor
) -> AcmFunction | None:
    data = _data_setting(configuration, control)
    if data is None:
        return None
    bulk = _endpoints(data, Transfer.BULK)
    notifications = _endpoints(control, Transfer.INTERRUPT)
    return AcmFunction(
        *(configuration.value, control.number, data.number, data.alternate),
        *(bulk[True], bulk[False], notifications.get(True), _capabilities(control)),
    )


def _data_setting(
    configuration: ConfigurationDescriptor, control: InterfaceDescriptor
) -> InterfaceDescriptor | None:
    """Return the setting with both bulk endpoints.

    A union names its interface; devices without one have it next to the control interface, or in
    it.
    """
    for number in (*_data_interfaces(control), control.number + 1, control.number):
        for setting in configuration.settings_of(number):
            if _endpoints(setting, Transfer.BULK).keys() == {True, False}:
                return setting
    return None


def _data_interfaces(control: InterfaceDescriptor) -> list[int]:
    union = [each[4:] for each in _functional(control, FunctionalKind.UNION)]
    calls = [each[4:5] for each in _functional(control, FunctionalKind.CALL_MANAGEMENT)]
    return [number for part in (*union, *calls) for number in part]


def _capabilities(control: InterfaceDescriptor) -> AcmCapability:
    found = [each[3] for each in _functional(control, FunctionalKind.ACM) if len(each) > 3]
    return AcmCapability(found[0] & 0x0F) if found else AcmCapability(0)


def _functional(control: InterfaceDescriptor, kind: FunctionalKind) -> list[bytes]:
    own = (*control.extra, *(extra for each in control.endpoints for extra in each.extra))
    return [
        each
        for each in own
        if len(each) >= 3 and (each[1], each[2]) == (Kind.CLASS_INTERFACE, kind)
    ]


def _endpoints(interface: InterfaceDescriptor, kind: Transfer) -> dict[bool, EndpointDescriptor]:
    """Return the first endpoint of the kind in each direction, by whether it is IN."""
    found: dict[bool, EndpointDescriptor] = {}
    for endpoint in interface.endpoints:
        if endpoint.transfer is kind:
            found.setdefault(endpoint.is_in, endpoint)
    return found
