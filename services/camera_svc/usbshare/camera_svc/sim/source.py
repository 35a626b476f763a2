"""A camera that is not there: the simulated bed at its frame rate, with controls that show."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import cv2

from usbshare.base.errors import DeviceError
from usbshare.camera_svc.capture.controls import changed
from usbshare.camera_svc.capture.frame_rate import Pace
from usbshare.camera_svc.capture.frame_source import (
    Captured,
    Control,
    ControlChange,
    Mode,
    Opened,
    PixelFormat,
)
from usbshare.camera_svc.sim.bed import BedLight, SimBed
from usbshare.camera_svc.sim.url import SimUrl

_JPEG_QUALITY = 80
_CONTROLS = (
    Control("exposure", 1, 1000, 250, automatic=True, can_be_automatic=True),
    Control("focus", 0, 250, 40, automatic=True, can_be_automatic=True),
    Control("gain", 0, 100, 0),
    Control("white_balance", 2800, 6500, 4600, automatic=True, can_be_automatic=True),
)
_NEUTRAL = {control.name: control.value for control in _CONTROLS}


class SimSource:
    """Source that draws; a picture's clock is that of the moment when drawing begins."""

    def __init__(self, wanted: SimUrl, wall_ns: Callable[[], int] = time.time_ns) -> None:
        self._wanted = wanted
        self._wall_ns = wall_ns
        self._pace = Pace(wanted.fps)
        self._controls = {control.name: control for control in _CONTROLS}
        self._bed: SimBed | None = None
        self._frame = 0

    def open(self) -> Opened:
        """Draw what is static."""
        self._bed = SimBed(self._wanted.width, self._wanted.height)
        wanted = self._wanted
        mode = Mode(wanted.width, wanted.height, wanted.fps, wanted.format)
        return Opened((mode,), self.controls())

    def read(self) -> Captured:
        """Draw the next picture when it is due."""
        bed = self._require_open()
        self._pace.wait()
        self._frame += 1
        monotonic_ns = time.monotonic_ns()
        pixels = bed.draw(self._frame, self._wall_ns() // 1_000_000)
        if self._wanted.format is PixelFormat.RAW:
            return Captured(pixels=pixels, monotonic_ns=monotonic_ns)
        _, jpeg = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
        return Captured(jpeg=jpeg.tobytes(), monotonic_ns=monotonic_ns)

    def controls(self) -> tuple[Control, ...]:
        """Return the controls as they are."""
        return tuple(self._controls.values())

    def set_control(self, change: ControlChange) -> None:
        """Change one control; the next picture shows it."""
        bed = self._require_open()
        control = changed(self._controls.values(), change)
        if control.automatic:
            control = replace(control, value=_NEUTRAL[control.name])
        self._controls = self._controls | {control.name: control}
        bed.light(_light({name: each.value for name, each in self._controls.items()}))

    def close(self) -> None:
        """Forget the drawing."""
        self._bed = None

    def _require_open(self) -> SimBed:
        if self._bed is None:
            raise DeviceError("the simulated bed is not open")
        return self._bed


def _light(values: dict[str, float]) -> BedLight:
    return BedLight(
        brightness=values["exposure"] / _NEUTRAL["exposure"] * (1 + values["gain"] / 100),
        warmth=values["white_balance"] / _NEUTRAL["white_balance"],
        blur=abs(values["focus"] - _NEUTRAL["focus"]) / 10,
    )
