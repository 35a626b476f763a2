"""Keeps USB devices that the policy does not allow from being cameras."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from usbshare.authorization.devices import PluggedIn, Quarantine
from usbshare.base.errors import DeviceError
from usbshare.camera_svc.capture.device_list import CameraFound
from usbshare.camera_svc.capture.frame_source import Source, SourceMaker
from usbshare.camera_svc.capture.source_factory import local_node
from usbshare.line.usb.device import UsbDevice
from usbshare.line.usb.node import usb_device_behind

Behind = Callable[[str], UsbDevice | None]


class CameraQuarantine:
    """Decides whether sources and plugged-in cameras may be opened."""

    def __init__(self, quarantine: Quarantine, behind: Behind = usb_device_behind) -> None:
        self._quarantine = quarantine
        self._behind = behind

    def why_not(self, source: str) -> str:
        """Return why a source may not be opened, empty if it may; blocks for a moment."""
        node = local_node(source)
        if node is None or not self._quarantine.is_closed:
            return ""
        if not node:
            return (
                f"quarantined: this system cannot tell which USB device camera {source} is, and "
                "only listed devices are allowed here"
            )
        device = self._behind(node)
        return self._quarantine.why_not(device) if device else ""

    def guarded(self, source: str, make_source: SourceMaker) -> SourceMaker:
        """Return a maker that raises DeviceError where the source may not be opened."""

        def make() -> Source:
            if why := self.why_not(source):
                raise DeviceError(why)
            return make_source()

        return make

    def allowed(self, found: Iterable[CameraFound]) -> list[CameraFound]:
        """Return those that may be offered; note the others."""
        cameras = list(found)
        self._quarantine.saw(each.usb for each in cameras if each.usb)
        return [each for each in cameras if not (each.usb and self._quarantine.why_not(each.usb))]


def plugged_in_cameras(look: Callable[[], Iterable[CameraFound]]) -> list[PluggedIn]:
    """Return what could be offered, allowed or not; blocks for some ms."""
    return [PluggedIn(each.usb, each.path, each.name) for each in look() if each.usb]
