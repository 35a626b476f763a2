"""Says at each opening whether a device is the one that is meant."""

from __future__ import annotations

from typing import Protocol


class OpenGuard(Protocol):
    """Asked in the thread that opens a device; raises DeviceError where that must not be used."""

    def before_open(self, path: str) -> None:
        """Look at what is there by its name, since opening alone moves lines of the device."""

    def after_open(self, path: str, descriptor: int | None) -> None:
        """Look at what is open, before anything is done with it; None where that has no number."""


class NoGuard:
    """Lets everything be opened."""

    def before_open(self, path: str) -> None:
        """Do nothing."""

    def after_open(self, path: str, descriptor: int | None) -> None:
        """Do nothing."""
