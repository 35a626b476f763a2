"""Says at each opening whether a camera's device is still the same one."""

from __future__ import annotations

from pathlib import Path

from usbshare.base.errors import DeviceError
from usbshare.line import physical_device
from usbshare.line.device_id_file import KnownDevices
from usbshare.line.expected_device import OwnDevice
from usbshare.line.physical_device import PhysicalDevice, physical_device_at, physical_device_of

_DEV = Path("/dev")


class CameraGuard:
    """OpenGuard of one camera; its methods block for some ms.

    A camera that is not configured has `device`, and of its nodes the one with `index`.
    """

    def __init__(
        self,
        camera_id: str,
        known: KnownDevices,
        device: PhysicalDevice | None = None,
        index: int = 0,
        dev: Path = _DEV,
    ) -> None:
        self._device = device
        self._index = index
        self._dev = dev
        self._own = OwnDevice(camera_id, known, service="camera-svc", kind="camera", fixed=device)

    def locate(self, source: str) -> str:
        """Return the path to open; DeviceError if the camera's own device is unplugged."""
        if self._device is None:
            return source
        for entry, device in _entries():
            if device == self._device and _index_of(entry) == self._index:
                return str(self._dev / entry.name)
        raise DeviceError(f"{self._device}: not plugged in")

    def before_open(self, path: str) -> None:
        """Raise DeviceError where the path leads to another device."""
        found = physical_device_at(path)
        if why := self._own.why_not(path, found) or self._why_ambiguous(path, found):
            raise DeviceError(why)

    def after_open(self, path: str, descriptor: int | None) -> None:
        """Raise DeviceError unless what is open is the camera's device, from now on."""
        found = physical_device_at(path if descriptor is None else descriptor)
        if why := self._own.why_not(path, found):
            raise DeviceError(why)
        self._own.opened(found)

    def _why_ambiguous(self, path: str, found: PhysicalDevice | None) -> str:
        """Return why a shared link must not decide which device it is, empty if it does not."""
        if found is None or self._own.expected() is not None or Path(path).parent.name != "by-id":
            return ""
        alike = {
            device.socket
            for _, device in _entries()
            if device is not None and device.without_socket == found.without_socket
        }
        if len(alike) < 2:
            return ""
        return (
            f"refused: {len(alike)} cameras share the link {path}; name one by its path "
            "under /dev/v4l/by-path"
        )


def _entries() -> list[tuple[Path, PhysicalDevice | None]]:
    nodes = sorted((physical_device.SYS / "class" / "video4linux").glob("video*"))
    return [(node, physical_device_of(node)) for node in nodes]


def _index_of(entry: Path) -> int:
    try:
        return int((entry / "index").read_text())
    except (OSError, ValueError):
        return 0
