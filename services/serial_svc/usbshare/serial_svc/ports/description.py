"""How a port looks from outside."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING

from usbshare.line.physical_device import PhysicalDevice
from usbshare.line.settings import LineSettings
from usbshare.serial_svc.line.firmware import StopBytes
from usbshare.serial_svc.line.latch import LatchRecord
from usbshare.serial_svc.sessions.link_loss import LinkLossPolicy, policy_of
from usbshare.serial_svc.stop.hold import Hold

if TYPE_CHECKING:
    from usbshare.serial_svc.ports.port import SerialPort


class PortState(Enum):
    """Whether a port can be used."""

    AVAILABLE = "available"
    OPEN = "open"
    ABSENT = "absent"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class UsbIdentity:
    """The USB identity of a device; empty strings where it has none."""

    vendor_id: int
    product_id: int
    serial_number: str = ""
    manufacturer: str = ""
    product: str = ""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has a port open for control."""

    session_id: str
    identity: str
    client_name: str
    peer: str
    open_time: datetime

    def __str__(self) -> str:
        name = f" ({self.client_name})" if self.client_name else ""
        return f"{self.identity}{name} at {self.peer}"


@dataclass(frozen=True, slots=True)
class PortDescription:
    """A port at one moment."""

    id: str
    description: str
    source: str
    device: str
    usb: UsbIdentity | None
    state: PortState
    state_reason: str
    configured_profile: str
    profile: str
    settings: LineSettings
    holder: Holder | None
    observers: int
    epoch: int
    latched: bool
    held: bool
    link_loss: LinkLossPolicy
    low_latency: bool | None = None
    stop_bytes: StopBytes = StopBytes.OWN
    sees_gcode: bool = False
    latch: LatchRecord | None = None
    hold: Hold | None = None
    hold_number: int = 0
    machine_state: str = ""
    usb_socket: str = ""
    # What others made of it, once for all to whom it is told.
    made: list[object] = field(default_factory=list, init=False, repr=False, compare=False)


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
        holder=port.attendance.holder,
        observers=port.attendance.observers,
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
