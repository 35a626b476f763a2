"""Describes a port as it is now."""

from __future__ import annotations

from usbshare.line.physical_device import PhysicalDevice
from usbshare.serial_svc.line.line import Line
from usbshare.serial_svc.line.port_config import UsbIdentity
from usbshare.serial_svc.sessions.port_description import PortDescription
from usbshare.serial_svc.sessions.roster import SessionRoster
from usbshare.serial_svc.stop.stops import Stops


def describe(line: Line, stops: Stops, roster: SessionRoster) -> PortDescription:
    """Return a port as it is now."""
    config, keeper, holds = line.config, line.keeper, stops.machine.holds
    device = line.expected_device()
    return PortDescription(
        id=line.id,
        description=config.description,
        source=config.source,
        device=config.source if line.is_open else "",
        usb=config.usb or _usb_of(device),
        state=keeper.state,
        state_reason="" if line.is_open else keeper.reason,
        configured_profile=config.profile.name if config.profile else "auto",
        profile=line.profile.name,
        settings=line.settings,
        holder=roster.holder,
        observers=roster.observers,
        epoch=line.latch.epoch,
        latched=line.latch.is_set,
        held=holds.needs_person,
        link_loss=stops.link_loss.policy,
        low_latency=line.device.low_latency if line.is_open else None,
        stop_bytes=line.firmware.stop_bytes,
        sees_gcode=line.firmware.sees_gcode,
        latch=line.latch.record,
        usb_socket=device.socket if device else "",
        hold=holds.current,
        hold_number=holds.number,
        machine_state=holds.machine_state,
    )


def _usb_of(device: PhysicalDevice | None) -> UsbIdentity | None:
    return UsbIdentity(device.vid, device.pid, device.serial) if device else None
