"""Finds the device that a source means, imports it, and has it ready as a serial port."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from usbshare.base.errors import DeviceAbsentError, DeviceError
from usbshare.base.threads import in_thread
from usbshare.line.physical_device import PhysicalDevice
from usbshare.line.usb.device import shown
from usbshare.line.usbip.chips import has_own_driver, why_no_port
from usbshare.line.usbip.seen import SeenDevices
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
from usbshare.usbip.errors import UsbipDeviceError, UsbipError, UsbipNetworkError
from usbshare.usbip.imported import ImportedDevice
from usbshare.usbip.messages import ExportedDevice

MOST_IDENTICAL = 16
MOST_TOLD = 16


class DeviceAdmission(Protocol):
    """Says whether a device is the one that is meant."""

    def expected(self) -> PhysicalDevice | None:
        """Return which device it has been, None if there was none."""
        ...

    def admit(self, name: str, found: PhysicalDevice) -> None:
        """Raise DeviceError unless it may be used, which it is from now on; blocks."""


class AdmitAny:
    """Lets every device be used."""

    def expected(self) -> PhysicalDevice | None:
        """Return None."""
        return None

    def admit(self, name: str, found: PhysicalDevice) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True)
class AttachedPort:
    """An imported device, which of its ports is meant, and which device it is."""

    device: ImportedDevice
    function: AcmFunction
    physical: PhysicalDevice


class Attacher:
    """Finds and imports the device of one source, again and again; `seen` lives as long."""

    def __init__(self, source: UsbipSource, seen: SeenDevices, admission: DeviceAdmission) -> None:
        self._source = source
        self._seen = seen
        self._admission = admission

    async def attach(self) -> AttachedPort:
        """Import the device that the source means, once it is admitted; it is not configured yet.

        Raises DeviceError; DeviceAbsentError where the server or the device is not there.
        """
        source = self._source
        try:
            return await self._attach()
        except UsbipNetworkError as error:
            self._seen.clear()
            raise DeviceAbsentError(f"{source.server}: {error}") from error
        except UsbipError as error:
            raise DeviceError(f"{source.server}: {error}") from error

    async def _attach(self) -> AttachedPort:
        source = self._source
        listed = await (await connect(source.host, source.port)).devices()
        self._seen.keep(listed)
        candidates = _candidates(source, listed)
        expected = self._admission.expected()
        own = [each for each in candidates if expected and _place(source, each) == expected.socket]
        if source.serial is None:
            port = await self._by_itself(_only(source, own or candidates))
        else:
            port = await self._by_serial([*own, *candidates])
        try:
            await self._admit(port.physical)
        except BaseException:
            await port.device.close()
            raise
        return port

    async def _by_itself(self, listed: ExportedDevice) -> AttachedPort:
        """Import the device, unless it is known to be refused then."""
        seen = self._seen.of(listed)
        if seen is not None and seen.physical is None:
            raise DeviceError(seen.refusal)
        if seen is not None and seen.physical is not None:
            await self._admit(seen.physical)
        return await self._look_at(listed)

    async def _admit(self, physical: PhysicalDevice) -> None:
        await in_thread(self._admission.admit, str(self._source), physical)

    async def _by_serial(self, candidates: Sequence[ExportedDevice]) -> AttachedPort:
        """Import the one with the serial number; others that were looked at are given back."""
        looked: dict[str, AttachedPort] = {}
        try:
            listed = await self._the_one(candidates[: MOST_IDENTICAL + 1], looked)
            chosen = looked.pop(listed.busid, None)
            return chosen or await self._look_at(listed)
        finally:
            for port in looked.values():
                await port.device.close()

    async def _the_one(
        self, candidates: Sequence[ExportedDevice], looked: dict[str, AttachedPort]
    ) -> ExportedDevice:
        """Return the one with the serial number; a number that several have says nothing.

        The first is the port's own, if it is in its place: others are not looked at then.
        """
        expected = self._admission.expected()
        found: dict[str, ExportedDevice] = {}
        refused: list[str] = []
        for listed in candidates:
            physical = await self._physical(listed, looked, refused)
            if physical is None or not self._is_meant(physical):
                continue
            if physical == expected:
                return listed
            found[listed.busid] = listed
        if len(found) > 1:
            raise DeviceError(_ambiguous(self._source, list(found.values())))
        if found:
            return next(iter(found.values()))
        why = f" ({'; '.join(refused)})" if refused else ""
        server, ids = self._source.server, self._source.ids
        raise DeviceAbsentError(f"{server} exports no free device {ids}{why}")

    async def _physical(
        self, listed: ExportedDevice, looked: dict[str, AttachedPort], refused: list[str]
    ) -> PhysicalDevice | None:
        """Return which device it is, by a look if need be; None, and why, if none is to be had."""
        seen = self._seen.of(listed)
        if seen is not None:
            refused += [seen.refusal] if seen.refusal else []
            return seen.physical
        try:
            port = await self._look_at(listed)
        except (UsbipDeviceError, DeviceError) as error:
            refused.append(str(error))
            return None
        if self._is_meant(port.physical):
            looked[listed.busid] = port
        else:
            await port.device.close()
        return port.physical

    async def _look_at(self, listed: ExportedDevice) -> AttachedPort:
        """Import a device and remember what it is; raises UsbipError, DeviceError."""
        source = self._source
        device = await (await connect(source.host, source.port)).attach(listed.busid)
        try:
            port = await _identified(source, device, listed)
        except DeviceError as error:
            await device.close()
            self._seen.is_refused(listed, str(error))
            raise
        except BaseException:
            await device.close()
            raise
        self._seen.is_(listed, port.physical)
        return port

    def _is_meant(self, physical: PhysicalDevice) -> bool:
        return physical.serial.lower() == (self._source.serial or "").lower()


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
        there = ", ".join(map(_named, listed[:MOST_TOLD])) or "none"
        raise DeviceAbsentError(
            f"{source.server} exports no device {source.busid or source.ids}, or it is in use "
            f"(exported: {there})"
        )
    return found


def _only(source: UsbipSource, candidates: Sequence[ExportedDevice]) -> ExportedDevice:
    if len(candidates) > 1:
        raise DeviceError(_ambiguous(source, candidates))
    only = candidates[0]
    if has_own_driver(only):  # needs no look, which might reset it
        raise DeviceError(why_no_port(only, frozenset(), source.host, source.port))
    return only


async def _identified(
    source: UsbipSource, device: ImportedDevice, listed: ExportedDevice
) -> AttachedPort:
    descriptor = await read_device(device)
    configurations = await read_configurations(device, descriptor.configuration_count)
    function = _function(source, device.exported, configurations)
    serial = await read_text(device, descriptor.serial_index)
    interface, place = str(function.control_interface), _place(source, listed)
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
    raise DeviceError(f"{device.busid} has no serial port #{source.interface}; it has {numbers}")


def _place(source: UsbipSource, device: ExportedDevice) -> str:
    return f"{source.host}:{source.port}/{device.busid}"


def _ambiguous(source: UsbipSource, found: Sequence[ExportedDevice]) -> str:
    which = "" if source.interface is None else f"#{source.interface}"
    urls = " or ".join(f"{USBIP}{source.server}/{shown(each.busid)}{which}" for each in found)
    return (
        f"{len(found)} devices of {source.server} are {source.ids}: "
        f"{', '.join(shown(each.busid) for each in found)}; name one by its bus id: {urls}"
    )


def _named(device: ExportedDevice) -> str:
    return f"{shown(device.busid)} {device.vid:04x}:{device.pid:04x}"
