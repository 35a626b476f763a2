"""What pictures need of hosts: clients of their camera services."""

from __future__ import annotations

from typing import Protocol

from usbshare.client.camera.client import CameraClient


class CameraServices(Protocol):
    """Knows the camera service of each host."""

    def client(self, host: str) -> CameraClient:
        """Return a new client, with this computer's certificate of now; the caller closes it.

        `host` is the catalogue's key. Raises NotFoundError that says what is not known.
        """
        ...
