"""Where else the pictures go, besides HTTP."""

from __future__ import annotations

from typing import Protocol

from usbshare.base.errors import UsbshareError
from usbshare.client.camera.view import Newest


class OutputError(UsbshareError):
    """A place takes no more pictures."""


class Output(Protocol):
    """A place for pictures."""

    @property
    def name(self) -> str:
        """What it is, for people."""
        ...

    async def run(self, newest: Newest) -> None:
        """Take pictures until cancelled; raises OutputError when it can take no more."""
