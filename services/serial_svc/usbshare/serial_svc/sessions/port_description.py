"""A port as sessions and watchers see it."""

from __future__ import annotations

from dataclasses import dataclass, field

from usbshare.line.settings import LineSettings
from usbshare.serial_svc.line.firmware import StopBytes
from usbshare.serial_svc.line.keeper import PortState
from usbshare.serial_svc.line.latch import LatchRecord
from usbshare.serial_svc.line.port_config import LinkLossPolicy, UsbIdentity
from usbshare.serial_svc.sessions.client import Holder
from usbshare.serial_svc.stop.hold import Hold


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
    # What others made of it, once for all who receive it.
    made: list[object] = field(default_factory=list, init=False, repr=False, compare=False)
