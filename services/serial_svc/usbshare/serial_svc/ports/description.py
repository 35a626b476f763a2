"""Describes a port as it is now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from usbshare.line.physical_device import PhysicalDevice
from usbshare.serial_svc.line.keeper import PortState
from usbshare.serial_svc.line.port_config import UsbIdentity
from usbshare.serial_svc.sessions.port_description import PortDescription
from usbshare.serial_svc.stop.link_loss import policy_of

if TYPE_CHECKING:
    from usbshare.serial_svc.ports.port import SerialPort


def describe(port: SerialPort, state: PortState) -> PortDescription:
    """Return a port as it is now."""
    device = port.expected_device()
    return PortDescription(
        id=port.id,
        description=port.config.description,
        source=port.config.source,
        device=port.config.source if port.is_open else "",
        usb=port.config.usb or _usb_of(device),
        state=state,
        state_reason="" if port.is_open else port.reason,
        configured_profile=port.config.profile.name if port.config.profile else "auto",
        profile=port.profile.name,
        settings=port.settings,
        holder=port.roster.holder,
        observers=port.roster.observers,
        epoch=port.epoch,
        latched=port.latched,
        held=port.held,
        link_loss=policy_of(port.config.link_loss, port.profile),
        low_latency=port.device.low_latency if port.is_open else None,
        stop_bytes=port.firmware.stop_bytes,
        sees_gcode=port.firmware.sees_gcode,
        latch=port.latch.record,
        usb_socket=device.socket if device else "",
        hold=port.watch.holds.current,
        hold_number=port.watch.holds.number,
        machine_state=port.watch.holds.machine_state,
    )


def _usb_of(device: PhysicalDevice | None) -> UsbIdentity | None:
    return UsbIdentity(device.vid, device.pid, device.serial) if device else None
