"""What is asked of any device to know it: its descriptors, its texts, its configuration."""

from __future__ import annotations

import contextlib

from usbshare.usbip.descriptors import (
    DEVICE_BYTES,
    ENGLISH,
    HEAD_BYTES,
    ConfigurationDescriptor,
    DeviceDescriptor,
    Kind,
    Request,
    configuration_length,
    get_descriptor,
    parse_configuration,
    parse_device,
    parse_languages,
    parse_string,
)
from usbshare.usbip.errors import TransferError, UsbipProtocolError
from usbshare.usbip.imported import ImportedDevice
from usbshare.usbip.messages import SetupPacket

_MOST_CONFIGURATION_BYTES = 1 << 14
_MOST_CONFIGURATIONS = 8
_STRING_BYTES = 255


async def read_device(device: ImportedDevice) -> DeviceDescriptor:
    """Return the device descriptor; raises UsbipError."""
    return parse_device(await device.control(get_descriptor(Kind.DEVICE, DEVICE_BYTES)))


async def read_configurations(
    device: ImportedDevice, count: int
) -> tuple[ConfigurationDescriptor, ...]:
    """Return the configurations, of which the device has so many; raises UsbipError."""
    found = []
    for index in range(min(count, _MOST_CONFIGURATIONS)):
        head = await device.control(get_descriptor(Kind.CONFIGURATION, HEAD_BYTES, index=index))
        total = configuration_length(head)
        if total > _MOST_CONFIGURATION_BYTES:
            raise UsbipProtocolError(
                f"configuration descriptor: wTotalLength {total} is more than "
                f"{_MOST_CONFIGURATION_BYTES}"
            )
        whole = await device.control(get_descriptor(Kind.CONFIGURATION, total, index=index))
        found.append(parse_configuration(whole))
    return tuple(found)


async def read_text(device: ImportedDevice, index: int) -> str:
    """Return a text of the device in its first language, empty where it has none.

    Raises UsbipError, but not for a device that stalls or sends an invalid text.
    """
    if not index:
        return ""
    with contextlib.suppress(TransferError, UsbipProtocolError):
        languages = parse_languages(
            await device.control(get_descriptor(Kind.STRING, _STRING_BYTES))
        )
        language = languages[0] if languages else ENGLISH
        request = get_descriptor(Kind.STRING, _STRING_BYTES, index=index, language=language)
        return parse_string(await device.control(request))
    return ""


async def set_configuration(device: ImportedDevice, value: int) -> None:
    """Choose a configuration by its bConfigurationValue; raises UsbipError."""
    await device.control(SetupPacket(0x00, Request.SET_CONFIGURATION, value))


async def set_interface(device: ImportedDevice, interface: int, alternate: int) -> None:
    """Choose an alternate setting of an interface; raises UsbipError."""
    await device.control(SetupPacket(0x01, Request.SET_INTERFACE, alternate, interface))
