"""Finds the device that a source means, imports it, and has it ready as a serial port."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from usbshare.base.errors import DeviceAbsentError, DeviceError
from usbshare.line.physical_device import PhysicalDevice
from usbshare.line.usb.device import shown
from usbshare.line.usbip.chips import why_no_port
from usbshare.line.usbip.source import USBIP, UsbipSource
from usbshare.usbip.cdc import AcmFunction, acm_functions
from usbshare.usbip.client import connect
from usbshare.usbip.control_requests import (
    read_configurations,
    read_device,
    read_text,
    set_configuration,
    set_interface,
)
from usbshare.usbip.descriptors import ConfigurationDescriptor
from usbshare.usbip.errors import UsbipDeviceError, UsbipError
from usbshare.usbip.imported import ImportedDevice
from usbshare.usbip.messages import ExportedDevice

MOST_TWINS = 16


@dataclass(frozen=True, slots=True)
class AttachedPort:
    """An imported device, which of its ports is meant, and which device it is."""

    device: ImportedDevice
    function: AcmFunction
    physical: PhysicalDevice


async def attach(source: UsbipSource, expected: PhysicalDevice | None) -> AttachedPort:
    """Import the device that the source means; its configuration is not chosen yet.

    Of several that are alike the `expected` one is looked at first, since looking at another one
    may reset it. Raises DeviceError; DeviceAbsentError where the server or the device is not there.
    """
    try:
        listed = await (await connect(source.host, source.port)).devices()
        candidates = _candidates(source, listed)
        own = [each for each in candidates if expected and _place(source, each) == expected.socket]
        if source.serial is None:
            return await _attach(source, _only(source, own or candidates))
        return await _attach_by_serial(source, candidates, own)
    except UsbipError as error:
        kind = DeviceAbsentError if error.layer == "network" else DeviceError
        raise kind(f"{source.server}: {error}") from error


async def choose(port: AttachedPort) -> None:
    """Choose the configuration and the settings that the port is in; raises UsbipError."""
    function = port.function
    await set_configuration(port.device, function.configuration)
    if function.data_alternate:
        await set_interface(port.device, function.data_interface, function.data_alternate)


def _candidates(source: UsbipSource, listed: Sequence[ExportedDevice]) -> list[ExportedDevice]:
    """Return what may be meant: one device, or several that look alike in the list."""
    found = [each for each in listed if source.matches(each)]
    if not found:
        there = ", ".join(map(_named, listed)) or "none"
        raise DeviceAbsentError(
            f"{source.server} exports no device {source.busid or source.ids} (exported: {there})"
        )
    return found


def _only(source: UsbipSource, candidates: Sequence[ExportedDevice]) -> ExportedDevice:
    if len(candidates) > 1:
        raise DeviceError(_ambiguous(source, candidates))
    return candidates[0]


async def _attach_by_serial(
    source: UsbipSource, candidates: Sequence[ExportedDevice], own: Sequence[ExportedDevice]
) -> AttachedPort:
    for each in own:
        port = await _attach(source, each)
        if _has_serial(port, source):
            return port
        await port.device.close()
    return await _the_only_one(source, candidates[:MOST_TWINS])


async def _the_only_one(source: UsbipSource, candidates: Sequence[ExportedDevice]) -> AttachedPort:
    """Return the one with the serial number; a number that several have says nothing."""
    found: list[AttachedPort] = []
    refused: list[str] = []
    try:
        for each in candidates:
            try:
                port = await _attach(source, each)
            except UsbipDeviceError as error:
                refused.append(str(error))
                continue
            if _has_serial(port, source):
                found.append(port)
            else:
                await port.device.close()
        if len(found) == 1:
            return found.pop()
        if found:
            raise DeviceError(_ambiguous(source, [each.device.exported for each in found]))
    finally:
        for port in found:
            await port.device.close()
    why = f" ({'; '.join(refused)})" if refused else ""
    raise DeviceAbsentError(f"{source.server} exports no free device {source.ids}{why}")


async def _attach(source: UsbipSource, listed: ExportedDevice) -> AttachedPort:
    device = await (await connect(source.host, source.port)).attach(listed.busid)
    try:
        descriptor = await read_device(device)
        configurations = await read_configurations(device, descriptor.configuration_count)
        function = _function(source, device.exported, configurations)
        serial = await read_text(device, descriptor.serial_index)
    except BaseException:
        await device.close()
        raise
    interface = str(function.control_interface)
    place = _place(source, listed)
    physical = PhysicalDevice(descriptor.vid, descriptor.pid, serial, place, interface)
    return AttachedPort(device, function, physical)


def _function(
    source: UsbipSource, device: ExportedDevice, configurations: Sequence[ConfigurationDescriptor]
) -> AcmFunction:
    """Return the port that is meant: of the configuration in force if that has one."""
    in_force_first = sorted(configurations, key=lambda each: each.value != device.configuration)
    for configuration in in_force_first:
        if ports := acm_functions(configuration):
            return _chosen(source, device, ports)
    classes = {each.class_ for one in configurations for each in one.interfaces}
    raise DeviceError(why_no_port(device, frozenset(classes), source.host, source.port))


def _chosen(
    source: UsbipSource, device: ExportedDevice, ports: Sequence[AcmFunction]
) -> AcmFunction:
    numbers = " or ".join(f"#{each.control_interface}" for each in ports)
    if source.interface is None and len(ports) > 1:
        raise DeviceError(
            f"{device.busid} has {len(ports)} serial ports: add {numbers} to the source"
        )
    for port in ports:
        if source.interface in (None, port.control_interface):
            return port
    raise DeviceError(f"{device.busid} has no serial port #{source.interface}, but {numbers}")


def _has_serial(port: AttachedPort, source: UsbipSource) -> bool:
    return port.physical.serial.lower() == (source.serial or "").lower()


def _place(source: UsbipSource, device: ExportedDevice) -> str:
    return f"{source.host}:{source.port}/{device.busid}"


def _ambiguous(source: UsbipSource, found: Sequence[ExportedDevice]) -> str:
    which = "" if source.interface is None else f"#{source.interface}"
    urls = " or ".join(f"{USBIP}{source.server}/{each.busid}{which}" for each in found)
    return (
        f"{len(found)} devices of {source.server} are {source.ids}: "
        f"{', '.join(each.busid for each in found)}; name one by its bus id: {urls}"
    )


def _named(device: ExportedDevice) -> str:
    return f"{shown(device.busid)} {device.vid:04x}:{device.pid:04x}"
