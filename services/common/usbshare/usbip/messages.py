"""The messages of USB/IP as records that become bytes; `parsers` makes records of bytes.

Source: Documentation/usb/usbip_protocol.rst and drivers/usb/usbip of the Linux kernel. Whole
numbers are in network byte order, but those of a setup packet, which are USB's own.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

from usbshare.base.errors import InvalidArgumentError

VERSION = 0x0111
PATH_BYTES, BUSID_BYTES = 256, 32
NOT_ISOCHRONOUS = 0xFFFF_FFFF
NO_SETUP = bytes(8)

OPERATION = struct.Struct("!HHI")
COUNT = struct.Struct("!I")
DEVICE = struct.Struct(f"!{PATH_BYTES}s{BUSID_BYTES}sIIIHHHBBBBBB")
INTERFACE = struct.Struct("!BBBx")
BASIC = struct.Struct("!IIIII")
SUBMIT = struct.Struct("!IIIIIIIIII8s")
SUBMIT_REPLY = struct.Struct("!IIIIIiIIII8x")
UNLINK = struct.Struct("!IIIIII24x")
UNLINK_REPLY = struct.Struct("!IIIIIi24x")
ISO_PACKET = struct.Struct("!IIIi")
SETUP = struct.Struct("<BBHHH")
HEADER_BYTES = 48


class Operation(IntEnum):
    """What is asked before a device is imported, and the answers."""

    REQ_DEVLIST = 0x8005
    REP_DEVLIST = 0x0005
    REQ_IMPORT = 0x8003
    REP_IMPORT = 0x0003


class Command(IntEnum):
    """What is sent of an imported device."""

    SUBMIT = 1
    UNLINK = 2
    RET_SUBMIT = 3
    RET_UNLINK = 4


class Status(IntEnum):
    """How an operation ended, as the kernel's own tools number it."""

    OK = 0
    NOT_AVAILABLE = 1
    BUSY = 2
    DEVICE_ERROR = 3
    NO_DEVICE = 4
    ERROR = 5


class Direction(IntEnum):
    """Which way a transfer's data goes, seen from the host that imports."""

    OUT = 0
    IN = 1


class Speed(IntEnum):
    """enum usb_device_speed of the kernel."""

    UNKNOWN = 0
    LOW = 1
    FULL = 2
    HIGH = 3
    WIRELESS = 4
    SUPER = 5
    SUPER_PLUS = 6


@dataclass(frozen=True, slots=True)
class InterfaceClass:
    """What one interface of a device is for."""

    class_: int
    subclass: int = 0
    protocol: int = 0

    def encode(self) -> bytes:
        """Return the bytes of it in a list of devices."""
        return INTERFACE.pack(self.class_, self.subclass, self.protocol)


@dataclass(frozen=True, slots=True)
class ExportedDevice:
    """What a server says of a device; `interfaces` is empty in the answer to an import."""

    busid: str
    busnum: int
    devnum: int
    vid: int
    pid: int
    path: str = ""
    speed: int = Speed.FULL
    release: int = 0
    device_class: int = 0
    device_subclass: int = 0
    device_protocol: int = 0
    configuration: int = 0
    configuration_count: int = 1
    interface_count: int = 0
    interfaces: tuple[InterfaceClass, ...] = ()

    @property
    def devid(self) -> int:
        """What every command of the device carries."""
        return (self.busnum << 16 | self.devnum) & 0xFFFF_FFFF

    def encode(self) -> bytes:
        """Return the bytes without interfaces; raises InvalidArgumentError for a long name."""
        return DEVICE.pack(
            _fixed("path", self.path, PATH_BYTES),
            _fixed("busid", self.busid, BUSID_BYTES),
            *(self.busnum, self.devnum, self.speed, self.vid, self.pid, self.release),
            *(self.device_class, self.device_subclass, self.device_protocol),
            *(self.configuration, self.configuration_count, self.interface_count),
        )


@dataclass(frozen=True, slots=True)
class DevlistRequest:
    """Asks for the list of devices."""

    def encode(self) -> bytes:
        """Return the bytes."""
        return OPERATION.pack(VERSION, Operation.REQ_DEVLIST, Status.OK)


@dataclass(frozen=True, slots=True)
class DevlistReply:
    """The list of devices; `interface_count` of each is that of its interfaces."""

    devices: tuple[ExportedDevice, ...] = ()

    def encode(self) -> bytes:
        """Return the bytes."""
        parts = [OPERATION.pack(VERSION, Operation.REP_DEVLIST, Status.OK)]
        parts.append(COUNT.pack(len(self.devices)))
        for device in self.devices:
            if device.interface_count != len(device.interfaces):
                raise InvalidArgumentError(
                    f"interface_count {device.interface_count} of {device.busid} is not the "
                    f"number of its interfaces, {len(device.interfaces)}"
                )
            parts += [device.encode(), *(each.encode() for each in device.interfaces)]
        return b"".join(parts)


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """Asks for one device; the connection is its own from then on."""

    busid: str

    def encode(self) -> bytes:
        """Return the bytes; raises InvalidArgumentError for a long bus id."""
        head = OPERATION.pack(VERSION, Operation.REQ_IMPORT, Status.OK)
        return head + _fixed("busid", self.busid, BUSID_BYTES)


@dataclass(frozen=True, slots=True)
class ImportReply:
    """The device that was asked for, or why not."""

    device: ExportedDevice | None
    status: int = Status.OK

    def encode(self) -> bytes:
        """Return the bytes."""
        if self.device is None:
            status = self.status or Status.ERROR
            return OPERATION.pack(VERSION, Operation.REP_IMPORT, status)
        return OPERATION.pack(VERSION, Operation.REP_IMPORT, Status.OK) + self.device.encode()


@dataclass(frozen=True, slots=True)
class SetupPacket:
    """The eight bytes that begin a control transfer."""

    request_type: int
    request: int
    value: int = 0
    index: int = 0
    length: int = 0

    @property
    def is_in(self) -> bool:
        """Whether the device is asked for data."""
        return bool(self.request_type & 0x80)

    def encode(self) -> bytes:
        """Return the bytes."""
        return SETUP.pack(self.request_type, self.request, self.value, self.index, self.length)


def parse_setup(data: bytes) -> SetupPacket:
    """Return the setup packet that eight bytes are."""
    return SetupPacket(*SETUP.unpack(data))


@dataclass(frozen=True, slots=True)
class IsoPacket:
    """One packet of an isochronous transfer: where its data is in the whole, and what became."""

    offset: int
    length: int
    actual_length: int = 0
    status: int = 0

    def encode(self) -> bytes:
        """Return the bytes."""
        return ISO_PACKET.pack(self.offset, self.length, self.actual_length, self.status)


@dataclass(frozen=True, slots=True)
class Submit:
    """One transfer that is asked for; `length` is what it may carry, `data` that of an OUT."""

    seqnum: int
    devid: int
    direction: Direction
    endpoint: int
    length: int
    data: bytes = b""
    setup: bytes = NO_SETUP
    flags: int = 0
    start_frame: int = 0
    interval: int = 0
    packets: tuple[IsoPacket, ...] = ()

    def encode(self) -> bytes:
        """Return the bytes."""
        count = len(self.packets) or NOT_ISOCHRONOUS
        head = SUBMIT.pack(
            *(Command.SUBMIT, self.seqnum, self.devid, self.direction, self.endpoint),
            *(self.flags, self.length, self.start_frame, count, self.interval, self.setup),
        )
        return _with_packets(head + self.data, self.packets)


@dataclass(frozen=True, slots=True)
class SubmitReply:
    """How a transfer ended; `data` is that of an IN, for isochronous ones without the gaps."""

    seqnum: int
    status: int = 0
    actual_length: int = 0
    data: bytes = b""
    start_frame: int = 0
    error_count: int = 0
    packets: tuple[IsoPacket, ...] = ()

    def encode(self) -> bytes:
        """Return the bytes."""
        count = len(self.packets) or NOT_ISOCHRONOUS
        head = SUBMIT_REPLY.pack(
            *(Command.RET_SUBMIT, self.seqnum, 0, 0, 0),
            *(self.status, self.actual_length, self.start_frame, count, self.error_count),
        )
        return _with_packets(head + self.data, self.packets)


@dataclass(frozen=True, slots=True)
class Unlink:
    """Takes back the transfer `target`, which is not answered once this is."""

    seqnum: int
    devid: int
    target: int

    def encode(self) -> bytes:
        """Return the bytes."""
        return UNLINK.pack(Command.UNLINK, self.seqnum, self.devid, 0, 0, self.target)


@dataclass(frozen=True, slots=True)
class UnlinkReply:
    """What became of an unlink: -ECONNRESET if the transfer was taken back, 0 if it had ended."""

    seqnum: int
    status: int

    def encode(self) -> bytes:
        """Return the bytes."""
        return UNLINK_REPLY.pack(Command.RET_UNLINK, self.seqnum, 0, 0, 0, self.status)


def _with_packets(data: bytes, packets: tuple[IsoPacket, ...]) -> bytes:
    return data + b"".join(each.encode() for each in packets) if packets else data


def _fixed(field: str, text: str, size: int) -> bytes:
    data = text.encode("utf-8", "surrogateescape")
    if len(data) >= size or b"\0" in data:
        raise InvalidArgumentError(f"{field} '{text}' does not fit {size - 1} bytes without NUL")
    return data.ljust(size, b"\0")
