"""What a virtual serial port says that it is."""

from __future__ import annotations

from dataclasses import dataclass

from usbshare.usbip.cdc import ACM, COMMUNICATIONS, DATA, acm_descriptors
from usbshare.usbip.descriptors import (
    ENGLISH,
    ConfigurationDescriptor,
    DeviceDescriptor,
    EndpointDescriptor,
    InterfaceDescriptor,
    Kind,
    Transfer,
    encode_languages,
    encode_string,
)

# The Linux CDC-ACM gadget's: that is what this is, a serial port made by a program.
VENDOR_ID, PRODUCT_ID = 0x0525, 0xA4A7
CONFIGURATION = 1
CONTROL_INTERFACE, DATA_INTERFACE = 0, 1
WRITE_ENDPOINT, READ_ENDPOINT, NOTICE_ENDPOINT = 1, 1, 2
_IN = 0x80
_SELF_POWERED = 0xC0
# ModemManager writes to what takes AT commands: protocol 0 says that this does not.
_NO_AT_COMMANDS = 0
# Linux's cdc_acm writes 20 packets at once and has 16 such writes under way: with the smallest
# packet that is 2560 bytes. It reads two packets at once.
_WRITE_PACKET_BYTES, _READ_PACKET_BYTES, _NOTICE_PACKET_BYTES = 8, 64, 16
_NOTICE_INTERVAL_MS = 8

DEVICE = DeviceDescriptor(
    VENDOR_ID,
    PRODUCT_ID,
    class_=COMMUNICATIONS,
    manufacturer_index=1,
    product_index=2,
    serial_index=3,
)
CONFIGURATIONS = ConfigurationDescriptor(
    CONFIGURATION,
    (
        InterfaceDescriptor(
            CONTROL_INTERFACE,
            COMMUNICATIONS,
            ACM,
            _NO_AT_COMMANDS,
            extra=acm_descriptors(CONTROL_INTERFACE, DATA_INTERFACE),
            endpoints=(
                EndpointDescriptor(
                    *(_IN | NOTICE_ENDPOINT, Transfer.INTERRUPT),
                    *(_NOTICE_PACKET_BYTES, _NOTICE_INTERVAL_MS),
                ),
            ),
        ),
        InterfaceDescriptor(
            DATA_INTERFACE,
            DATA,
            endpoints=(
                EndpointDescriptor(WRITE_ENDPOINT, Transfer.BULK, _WRITE_PACKET_BYTES),
                EndpointDescriptor(_IN | READ_ENDPOINT, Transfer.BULK, _READ_PACKET_BYTES),
            ),
        ),
    ),
    attributes=_SELF_POWERED,
    max_power_ma=0,
)


@dataclass(frozen=True, slots=True)
class PortNames:
    """What a serial port says of itself, at most 126 characters each.

    With the same `serial_number` it has the same name each time.
    """

    maker: str
    product: str
    serial_number: str


def descriptor(kind: int, index: int, names: PortNames) -> bytes | None:
    """Return the descriptor that is asked for; None if there is none such."""
    if kind == Kind.STRING:
        return _string(index, names)
    encoded = {Kind.DEVICE: DEVICE.encode, Kind.CONFIGURATION: CONFIGURATIONS.encode}
    return encoded[Kind(kind)]() if kind in encoded and index == 0 else None


def _string(index: int, names: PortNames) -> bytes | None:
    texts = (names.maker, names.product, names.serial_number)
    if index == 0:
        return encode_languages(ENGLISH)
    return encode_string(texts[index - 1]) if index <= len(texts) else None
