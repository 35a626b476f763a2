"""Makes a device wait while the client in control is behind, if that loses nothing."""

from __future__ import annotations

from usbshare.line.settings import Device


class HoldBack:
    """Whether reading from a port's device is paused; a device that cannot wait never is."""

    def __init__(self) -> None:
        self._device: Device | None = None

    def hold(self, device: Device) -> None:
        """Stop reading, if that makes the other side wait instead of losing its bytes."""
        if device.holds_back and self._device is None:
            self._device = device
            device.pause_reading()

    def release(self) -> None:
        """Read again."""
        device, self._device = self._device, None
        if device is not None:
            device.resume_reading()

    def forget(self) -> None:
        """Note that the device is gone."""
        self._device = None
