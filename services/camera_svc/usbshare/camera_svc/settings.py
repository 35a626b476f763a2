"""The camera service's configuration: what of the TOML file it reads."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from usbshare.audit.settings import AuditTable
from usbshare.base.config import Table, checked
from usbshare.base.service_settings import Address, ListenTable, TlsTable, valid_ids
from usbshare.base.usual_ports import CAMERA_PORT
from usbshare.camera_svc.capture.camera import CameraConfig
from usbshare.camera_svc.capture.frame_source import ControlChange, PixelFormat, Wish
from usbshare.camera_svc.capture.source_factory import check_source
from usbshare.hosts.settings import DiscoveryTable
from usbshare.service.program import Program

PROGRAM = Program(
    name="camera-svc",
    package="usbshare.camera_svc",
    section="camera",
    listen_variable="USBSHARE_CAMERA_LISTEN",
    port=CAMERA_PORT,
    metrics_port=9465,
    does="watch the cameras",
    ends="streams",
)

Source = Annotated[str, checked(check_source)]
Lock = Annotated[float, Field(allow_inf_nan=False)] | Literal["auto"] | None


class ServiceTable(ListenTable):
    """`[camera]`: where the service listens and what it logs."""

    listen: Address = PROGRAM.address


class ControlsTable(Table):
    """`[cameras.<id>.controls]`: controls to set at each opening, in the driver's units."""

    exposure: Lock = None
    focus: Lock = None
    gain: Lock = None
    white_balance: Lock = None

    def changes(self) -> tuple[ControlChange, ...]:
        """Return the changes that set them."""
        locks = ((name, getattr(self, name)) for name in type(self).model_fields)
        return tuple(_change(name, lock) for name, lock in locks if lock is not None)


class CameraTable(Table):
    """`[cameras.<id>]`: one camera."""

    source: Source
    name: str = ""
    width: int = Field(default=0, ge=0, le=16384)
    height: int = Field(default=0, ge=0, le=16384)
    fps: float = Field(default=0.0, ge=0, le=240)
    format: Literal["any", "mjpeg", "raw"] = "any"
    always_on: bool = False
    linger_s: float = Field(default=10.0, ge=0, le=86400)
    controls: ControlsTable = Field(default_factory=ControlsTable)

    def config(self, camera_id: str) -> CameraConfig:
        """Return what a camera takes."""
        return CameraConfig(
            id=camera_id,
            name=self.name or camera_id,
            source=self.source,
            always_on=self.always_on,
            linger_s=self.linger_s,
            locks=self.controls.changes(),
        )

    def wish(self) -> Wish:
        """Return the mode that is asked of the camera."""
        pixels = None if self.format == "any" else PixelFormat(self.format)
        return Wish(self.width, self.height, self.fps, pixels)


class Settings(Table):
    """The tables that camera-svc reads; without `[cameras]` it offers what is plugged in."""

    camera: ServiceTable = Field(default_factory=ServiceTable)
    tls: TlsTable = Field(default_factory=TlsTable)
    audit: AuditTable = Field(default_factory=AuditTable)
    discovery: DiscoveryTable = Field(default_factory=DiscoveryTable)
    cameras: Annotated[dict[str, CameraTable], valid_ids("camera")] = Field(default_factory=dict)


def _change(name: str, lock: float | str) -> ControlChange:
    if isinstance(lock, str):
        return ControlChange(name, automatic=True)
    return ControlChange(name, value=lock, automatic=False)
