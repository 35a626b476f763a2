"""Reads what `lsusb -v` prints of one device, and gives the descriptors that it was printed of.

usbutils, lsusb.c: a title and indented fields; the names of fields say how wide they are (b, bm: 1
byte, bcd, id, w: 2, dw: 4). CDC's descriptors are printed without their lengths. What a class adds
is padded to its length where lsusb leaves bytes out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from fakes.usbip_device import Model
from usbshare.usbip.descriptors import (
    ConfigurationDescriptor,
    DeviceDescriptor,
    EndpointDescriptor,
    InterfaceAssociation,
    InterfaceDescriptor,
    Kind,
)

CAPTURES = Path(__file__).parent / "usbip_captures"
_BUS = re.compile(r"Bus (\d+) Device (\d+): ID ([0-9a-f]{4}):([0-9a-f]{4})")
_TITLE = re.compile(r"[A-Z][\w ]*(?:Descriptor|Association|Header|Management|ACM|Union):")
_FIELD = re.compile(r"(MaxPower|(?:bcd|bma?|ba|b|id|i|dw|w)[A-Z]\w*)(?:\( *\d+\))?\s+(\S+)\s*(.*)")
_WIDTHS = (("bcd", 2), ("dw", 4), ("id", 2), ("w", 2))
_FUNCTIONAL = {"CDC Header": 0, "CDC Call Management": 1, "CDC ACM": 2, "CDC Union": 6}


@dataclass
class Block:
    """One descriptor as it is printed: values as text, and the texts behind them."""

    title: str
    fields: list[tuple[str, str, str]] = field(default_factory=list)

    def number(self, name: str, default: int | None = None) -> int:
        """Return a value by its name."""
        found = [value for key, value, _ in self.fields if key == name]
        if not found and default is not None:
            return default
        return number_of(name, found[0])

    def raw(self) -> bytes:
        """Return the descriptor's bytes, as many as it says."""
        data = b"".join(_bytes_of(name, value) for name, value, _ in self.fields)
        length = self.number("bLength")
        return data[:length].ljust(length, b"\0")


def capture(name: str) -> Model:
    """Return the device of a file beside this one."""
    return parse_lsusb((CAPTURES / f"{name}.txt").read_text(encoding="utf-8"))


def capture_names() -> list[str]:
    """Return every device that there is a file of."""
    return sorted(path.stem for path in CAPTURES.glob("*.txt"))


def parse_lsusb(text: str) -> Model:
    """Return the device that is printed; ValueError where the lengths do not agree."""
    blocks = list(_blocks(text))
    device = _device(blocks[0])
    strings = {
        int(value): behind
        for block in blocks
        for name, value, behind in block.fields
        if re.match("i[A-Z]", name) and behind
    }
    starts = [n for n, block in enumerate(blocks) if block.title == "Configuration Descriptor"]
    ends = [*starts[1:], len(blocks)]
    parts = [blocks[start:end] for start, end in zip(starts, ends, strict=True)]
    configurations = tuple(_configuration(each) for each in parts)
    for printed, made in zip(parts, configurations, strict=True):
        said, is_ = printed[0].number("wTotalLength"), len(made.encode())
        if said != is_:
            raise ValueError(f"wTotalLength {said} is not that of what follows, {is_}")
    return Model(device, configurations, strings)


def number_of(name: str, text: str) -> int:
    """Return a printed value: BCD, hexadecimal or decimal, with a unit or without."""
    if name.startswith("bcd"):
        return int(text.replace(".", ""), 16)
    if text.endswith("MHz"):
        return int(float(text[:-3]) * 1_000_000)
    return int(text.removesuffix("mA"), 0)


def _blocks(text: str) -> Iterator[Block]:
    block: Block | None = None
    for line in text.splitlines():
        stripped = line.strip()
        if not stripped or stripped.startswith("#") or _BUS.match(stripped):
            continue
        if _TITLE.fullmatch(stripped):
            if block is not None:
                yield block
            block = Block(stripped.removesuffix(":"))
        elif block is not None and (found := _FIELD.fullmatch(stripped)):
            block.fields.append((found[1], found[2], found[3].strip()))
    if block is not None:
        yield block


def _device(block: Block) -> DeviceDescriptor:
    number = block.number
    return DeviceDescriptor(
        *(number("idVendor"), number("idProduct"), number("bDeviceClass")),
        *(number("bDeviceSubClass"), number("bDeviceProtocol"), number("bcdUSB")),
        *(number("bcdDevice"), number("bMaxPacketSize0"), number("iManufacturer")),
        *(number("iProduct"), number("iSerial"), number("bNumConfigurations")),
    )


def _configuration(blocks: list[Block]) -> ConfigurationDescriptor:
    head, *rest = blocks
    interfaces: list[InterfaceDescriptor] = []
    associations: list[InterfaceAssociation] = []
    for block in rest:
        if block.title == "Interface Descriptor":
            interfaces.append(_interface(block))
        elif block.title == "Interface Association":
            associations.append(_association(block))
        else:
            interfaces[-1] = _with(interfaces[-1], block)
    return ConfigurationDescriptor(
        head.number("bConfigurationValue"),
        tuple(interfaces),
        tuple(associations),
        head.number("bmAttributes"),
        head.number("MaxPower"),
        head.number("iConfiguration"),
    )


def _interface(block: Block) -> InterfaceDescriptor:
    number = block.number
    return InterfaceDescriptor(
        *(number("bInterfaceNumber"), number("bInterfaceClass"), number("bInterfaceSubClass")),
        *(number("bInterfaceProtocol"), number("bAlternateSetting"), number("iInterface")),
    )


def _association(block: Block) -> InterfaceAssociation:
    number = block.number
    return InterfaceAssociation(
        *(number("bFirstInterface"), number("bInterfaceCount"), number("bFunctionClass")),
        *(number("bFunctionSubClass"), number("bFunctionProtocol"), number("iFunction")),
    )


def _with(interface: InterfaceDescriptor, block: Block) -> InterfaceDescriptor:
    if block.title == "Endpoint Descriptor" and block.number("bDescriptorType") == Kind.ENDPOINT:
        number = block.number
        endpoint = EndpointDescriptor(
            *(number("bEndpointAddress"), number("bmAttributes"), number("wMaxPacketSize")),
            number("bInterval"),
        )
        return replace(interface, endpoints=(*interface.endpoints, endpoint))
    data = _functional(block) if block.title in _FUNCTIONAL else block.raw()
    if not interface.endpoints:
        return replace(interface, extra=(*interface.extra, data))
    *before, last = interface.endpoints
    last = replace(last, extra=(*last.extra, data))
    return replace(interface, endpoints=(*before, last))


def _functional(block: Block) -> bytes:
    body = b"".join(_bytes_of(name, value) for name, value, _ in block.fields)
    kind = _FUNCTIONAL[block.title]
    return bytes((3 + len(body), Kind.CLASS_INTERFACE, kind)) + body


def _bytes_of(name: str, text: str) -> bytes:
    width = next((size for prefix, size in _WIDTHS if name.startswith(prefix)), 1)
    if name.startswith("bm") and text.startswith("0x"):
        width = len(text) // 2 - 1
    return number_of(name, text).to_bytes(width, "little")
