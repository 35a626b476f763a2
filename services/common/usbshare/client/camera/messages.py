"""What a viewer asks of a camera service, and what it receives, free of gRPC."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from usbshare.line.profiles import Priority


class Format(Enum):
    """How a picture is encoded."""

    JPEG = "jpeg"
    H264 = "h264"


class CameraState(Enum):
    """How a camera is."""

    UNKNOWN = "unknown"
    CLOSED = "closed"
    OPENING = "opening"
    LIVE = "live"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class View:
    """What to see; zeroes leave the choice to the service."""

    width: int = 0
    fps: float = 0.0
    quality: int = 0
    priority: Priority = Priority.NORMAL
    format: Format = Format.JPEG
    is_fixed: bool = False


@dataclass(frozen=True, slots=True)
class RemoteCamera:
    """A camera of the service, as last reported."""

    id: str
    name: str
    source: str
    state: CameraState
    reason: str
    viewers: int

    @property
    def why_no_picture(self) -> str:
        """Why it delivers nothing; empty if it does."""
        if self.state is CameraState.LIVE:
            return ""
        return self.reason or f"the camera is {self.state.value}"


@dataclass(frozen=True, slots=True)
class Frame:
    """A picture and how it fared. `captured_s`: Unix time by the host's clock.

    `wait_s`, `encode_s` and `send_s` are what the service reports: until encoding, for it, and from
    capture to the connection. `dropped`: frames not sent since the last one, the window being full.
    `decoded_bytes`: how long the H.264 was that this JPEG was made of here, 0 if it came as JPEG.
    """

    sequence: int
    captured_s: float
    captured_monotonic_ns: int
    width: int
    height: int
    data: bytes
    format: Format = Format.JPEG
    quality: int = 0
    is_placeholder: bool = False
    wait_s: float = 0.0
    encode_s: float = 0.0
    send_s: float = 0.0
    dropped: int = 0
    given_fps: float = 0.0
    decoded_bytes: int = 0
    is_key: bool = False

    @property
    def link_bytes(self) -> int:
        """How many bytes came over the link."""
        return self.decoded_bytes or len(self.data)

    @property
    def link_format(self) -> Format:
        """As what it came over the link."""
        return Format.H264 if self.decoded_bytes else self.format


@dataclass(frozen=True, slots=True)
class OpenedEvent:
    """The stream is established."""

    camera: RemoteCamera
    window: int


@dataclass(frozen=True, slots=True)
class CameraEvent:
    """The camera after a change."""

    camera: RemoteCamera


Event = OpenedEvent | Frame | CameraEvent


@dataclass(frozen=True, slots=True)
class ServiceDrops:
    """Frames that the service did not send to one viewer, by cause."""

    window: int = 0
    rate: int = 0
    encoder: int = 0


@dataclass(frozen=True, slots=True)
class HostReport:
    """The host's time, how long asking took, and what it counts of us; None before it knows us."""

    time_s: float
    round_trip_s: float
    drops: ServiceDrops | None
