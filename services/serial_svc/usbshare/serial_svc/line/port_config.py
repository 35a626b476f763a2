"""A port as configured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

from usbshare.line.physical_device import PhysicalDevice
from usbshare.line.profiles import Profile
from usbshare.line.settings import LineSettings

ExpectedDevice: TypeAlias = Callable[[], PhysicalDevice | None]
"""Returns which physical device a port has; None if it has had none, or no USB device."""


class LinkLossPolicy(Enum):
    """The service acts on its own, with nothing to run at the client's end."""

    DOOR = "door"
    HOLD = "hold"
    STOP = "stop"
    CONTINUE = "continue"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class UsbIdentity:
    """The USB identity of a device; empty strings where it has none."""

    vendor_id: int
    product_id: int
    serial_number: str = ""
    manufacturer: str = ""
    product: str = ""


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """How much may wait for one port, after how long a waiting command moves up a level.

    `most_observers` may observe it at a time.
    """

    max_commands: int = 100
    max_bytes: int = 65536
    promote_after_s: float = 2.0
    most_observers: int = 256


@dataclass(frozen=True, slots=True)
class PortConfig:
    """One port; `profile` None recognises the firmware, `link_loss` None goes by the profile.

    `device` is which device it is, of a port that is not configured.
    """

    id: str
    source: str
    description: str = ""
    profile: Profile | None = None
    settings: LineSettings = field(default_factory=LineSettings)
    queue: QueueLimits = field(default_factory=QueueLimits)
    dtr: bool | None = None
    rts: bool | None = None
    usb: UsbIdentity | None = None
    device: PhysicalDevice | None = None
    link_loss: LinkLossPolicy | None = None
    link_timeout_s: float = 2.0
    resume_window_s: float = 30.0
    write_timeout_s: float = 60.0
