"""What a USB device says that it is: descriptors read from bytes, and made into them.

Source: Universal Serial Bus Specification 2.0, chapter 9.6, and the Interface Association ECN.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import IntEnum

from usbshare.base.errors import InvalidArgumentError
from usbshare.usbip.errors import UsbipProtocolError
from usbshare.usbip.messages import SetupPacket

DEVICE_BYTES = 18
HEAD_BYTES = 9
ENGLISH = 0x0409
_MOST_STRING_CHARS = 126
_DEVICE = struct.Struct("<BBHBBBBHHHBBBB")
_CONFIGURATION = struct.Struct("<BBHBBBBB")
_INTERFACE = struct.Struct("<BBBBBBBBB")
_ENDPOINT = struct.Struct("<BBBBHB")
_ASSOCIATION = struct.Struct("<BBBBBBBB")


class Kind(IntEnum):
    """bDescriptorType."""

    DEVICE = 1
    CONFIGURATION = 2
    STRING = 3
    INTERFACE = 4
    ENDPOINT = 5
    QUALIFIER = 6
    ASSOCIATION = 11
    CLASS_INTERFACE = 0x24


class Request(IntEnum):
    """bRequest of standard requests."""

    GET_STATUS = 0
    CLEAR_FEATURE = 1
    SET_FEATURE = 3
    SET_ADDRESS = 5
    GET_DESCRIPTOR = 6
    GET_CONFIGURATION = 8
    SET_CONFIGURATION = 9
    GET_INTERFACE = 10
    SET_INTERFACE = 11


class Transfer(IntEnum):
    """Kind of an endpoint: the two lowest bits of its attributes."""

    CONTROL = 0
    ISOCHRONOUS = 1
    BULK = 2
    INTERRUPT = 3


@dataclass(frozen=True, slots=True)
class DeviceDescriptor:
    """What a device says of itself; `..._index` are numbers of strings, 0 for none."""

    vid: int
    pid: int
    class_: int = 0
    subclass: int = 0
    protocol: int = 0
    usb_version: int = 0x0200
    release: int = 0x0100
    max_packet_bytes: int = 64
    manufacturer_index: int = 0
    product_index: int = 0
    serial_index: int = 0
    configuration_count: int = 1

    def encode(self) -> bytes:
        """Return the bytes."""
        return _DEVICE.pack(
            *(DEVICE_BYTES, Kind.DEVICE, self.usb_version, self.class_, self.subclass),
            *(self.protocol, self.max_packet_bytes, self.vid, self.pid, self.release),
            *(self.manufacturer_index, self.product_index, self.serial_index),
            self.configuration_count,
        )


@dataclass(frozen=True, slots=True)
class EndpointDescriptor:
    """One endpoint; bit 7 of its address is set for IN. `extra` is what follows it of its class."""

    address: int
    attributes: int
    max_packet_bytes: int
    interval: int = 0
    extra: tuple[bytes, ...] = ()

    @property
    def number(self) -> int:
        """The number without the direction."""
        return self.address & 0x0F

    @property
    def is_in(self) -> bool:
        """Whether data comes from the device."""
        return bool(self.address & 0x80)

    @property
    def transfer(self) -> Transfer:
        """The kind of its transfers."""
        return Transfer(self.attributes & 3)

    def encode(self) -> bytes:
        """Return the bytes."""
        head = _ENDPOINT.pack(
            *(_ENDPOINT.size, Kind.ENDPOINT, self.address, self.attributes),
            *(self.max_packet_bytes, self.interval),
        )
        return head + b"".join(self.extra)


@dataclass(frozen=True, slots=True)
class InterfaceDescriptor:
    """One alternate setting of an interface; `extra` are descriptors of its class, as bytes."""

    number: int
    class_: int
    subclass: int = 0
    protocol: int = 0
    alternate: int = 0
    name_index: int = 0
    extra: tuple[bytes, ...] = ()
    endpoints: tuple[EndpointDescriptor, ...] = ()

    def encode(self) -> bytes:
        """Return the bytes."""
        head = _INTERFACE.pack(
            *(HEAD_BYTES, Kind.INTERFACE, self.number, self.alternate, len(self.endpoints)),
            *(self.class_, self.subclass, self.protocol, self.name_index),
        )
        return b"".join([head, *self.extra, *(each.encode() for each in self.endpoints)])


@dataclass(frozen=True, slots=True)
class InterfaceAssociation:
    """Interfaces that are one function: `count` of them from `first` on."""

    first: int
    count: int
    class_: int
    subclass: int = 0
    protocol: int = 0
    name_index: int = 0

    def encode(self) -> bytes:
        """Return the bytes."""
        return _ASSOCIATION.pack(
            *(_ASSOCIATION.size, Kind.ASSOCIATION, self.first, self.count),
            *(self.class_, self.subclass, self.protocol, self.name_index),
        )


@dataclass(frozen=True, slots=True)
class ConfigurationDescriptor:
    """One configuration with all its interfaces; `max_power_ma` is even, at most 510."""

    value: int
    interfaces: tuple[InterfaceDescriptor, ...]
    associations: tuple[InterfaceAssociation, ...] = ()
    attributes: int = 0x80
    max_power_ma: int = 100
    name_index: int = 0

    @property
    def interface_numbers(self) -> tuple[int, ...]:
        """The interfaces, each once, however many settings it has."""
        return tuple(sorted({each.number for each in self.interfaces}))

    def settings_of(self, interface: int) -> tuple[InterfaceDescriptor, ...]:
        """Return the alternate settings of an interface."""
        return tuple(each for each in self.interfaces if each.number == interface)

    def encode(self) -> bytes:
        """Return the bytes: an association stands before the first of its interfaces."""
        waiting = {each.first: each for each in self.associations}
        parts: list[bytes] = []
        for interface in self.interfaces:
            association = waiting.pop(interface.number, None)
            parts += [association.encode()] if association is not None else []
            parts.append(interface.encode())
        body = b"".join(parts)
        head = _CONFIGURATION.pack(
            *(HEAD_BYTES, Kind.CONFIGURATION, HEAD_BYTES + len(body)),
            *(len(self.interface_numbers), self.value, self.name_index),
            *(self.attributes, self.max_power_ma // 2),
        )
        return head + body


def get_descriptor(kind: Kind, length: int, *, index: int = 0, language: int = 0) -> SetupPacket:
    """Return the request for a descriptor."""
    return SetupPacket(0x80, Request.GET_DESCRIPTOR, kind << 8 | index, language, length)


def parse_device(data: bytes) -> DeviceDescriptor:
    """Read a device descriptor; raises UsbipProtocolError."""
    if len(data) < DEVICE_BYTES or data[1] != Kind.DEVICE:
        raise UsbipProtocolError(f"device descriptor {data[:18].hex()} is not 18 bytes long")
    _, _, usb, class_, subclass, protocol, packet, vid, pid, release, *rest = _DEVICE.unpack_from(
        data
    )
    return DeviceDescriptor(vid, pid, class_, subclass, protocol, usb, release, packet, *rest)


def configuration_length(head: bytes) -> int:
    """Return wTotalLength of the first bytes of a configuration; raises UsbipProtocolError."""
    if len(head) < HEAD_BYTES or head[1] != Kind.CONFIGURATION:
        raise UsbipProtocolError(f"configuration descriptor {head[:9].hex()} is not 9 bytes long")
    total = int.from_bytes(head[2:4], "little")
    if total < HEAD_BYTES:
        raise UsbipProtocolError(f"configuration descriptor: wTotalLength {total} is less than 9")
    return total


def parse_configuration(data: bytes) -> ConfigurationDescriptor:
    """Read a configuration with all that is in it; raises UsbipProtocolError.

    What a class or a vendor adds stands in `extra` of what it follows; what is before the first
    interface is left out.
    """
    total = configuration_length(data)
    if len(data) < total:
        raise UsbipProtocolError(
            f"configuration descriptor: wTotalLength {total} is more than the bytes received, "
            f"{len(data)}"
        )
    _, _, _, _, value, name, attributes, power = _CONFIGURATION.unpack_from(data)
    interfaces: list[InterfaceDescriptor] = []
    associations: list[InterfaceAssociation] = []
    for each in _descriptors(data[HEAD_BYTES:total]):
        if each[1] == Kind.INTERFACE:
            interfaces.append(_interface(each))
        elif each[1] == Kind.ASSOCIATION:
            associations.append(_association(each))
        elif interfaces:
            interfaces[-1] = _with(interfaces[-1], each)
    return ConfigurationDescriptor(
        value, tuple(interfaces), tuple(associations), attributes, power * 2, name
    )


def encode_string(text: str) -> bytes:
    """Return a string descriptor; raises InvalidArgumentError for more than 126 characters."""
    data = text.encode("utf-16-le")
    if len(data) > 2 * _MOST_STRING_CHARS:
        raise InvalidArgumentError(f"string '{text[:20]}…' has more than 126 characters")
    return bytes((2 + len(data), Kind.STRING)) + data


def encode_languages(*languages: int) -> bytes:
    """Return string descriptor 0, the languages of the others."""
    data = struct.pack(f"<{len(languages)}H", *languages)
    return bytes((2 + len(data), Kind.STRING)) + data


def parse_string(data: bytes) -> str:
    """Read a string descriptor, which may hold anything; raises UsbipProtocolError."""
    if len(data) < 2 or data[1] != Kind.STRING or not 2 <= data[0] <= len(data):
        raise UsbipProtocolError(f"{data[:8].hex()} is not a string descriptor")
    return data[2 : data[0]].decode("utf-16-le", "replace").rstrip("\0")


def parse_languages(data: bytes) -> tuple[int, ...]:
    """Read string descriptor 0; raises UsbipProtocolError."""
    parse_string(data)
    raw = data[2 : data[0]]
    return struct.unpack(f"<{len(raw) // 2}H", raw[: len(raw) // 2 * 2])


def _descriptors(data: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        size = data[at]
        if size < 2 or at + size > len(data):
            raise UsbipProtocolError(
                f"descriptor at byte {HEAD_BYTES + at}: bLength {size} is not 2 to {len(data) - at}"
            )
        yield data[at : at + size]
        at += size


def _interface(data: bytes) -> InterfaceDescriptor:
    _, _, number, alternate, _, class_, subclass, protocol, name = _unpack(_INTERFACE, data)
    return InterfaceDescriptor(number, class_, subclass, protocol, alternate, name)


def _association(data: bytes) -> InterfaceAssociation:
    _, _, *fields = _unpack(_ASSOCIATION, data)
    return InterfaceAssociation(*fields)


def _with(interface: InterfaceDescriptor, data: bytes) -> InterfaceDescriptor:
    """Return the interface with what follows it, an endpoint or something of its class."""
    if data[1] == Kind.ENDPOINT:
        _, _, address, attributes, size, interval = _unpack(_ENDPOINT, data)
        endpoint = EndpointDescriptor(address, attributes, size, interval)
        return replace(interface, endpoints=(*interface.endpoints, endpoint))
    if not interface.endpoints:
        return replace(interface, extra=(*interface.extra, data))
    *before, last = interface.endpoints
    last = replace(last, extra=(*last.extra, data))
    return replace(interface, endpoints=(*before, last))


def _unpack(layout: struct.Struct, data: bytes) -> tuple[int, ...]:
    if len(data) < layout.size:
        raise UsbipProtocolError(
            f"descriptor of type {data[1]}: bLength {len(data)} is less than {layout.size}"
        )
    return layout.unpack_from(data)
