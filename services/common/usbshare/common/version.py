"""Which version of usbshare this is."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version


@cache
def usbshare_version() -> str:
    """Return the installed version; empty where nothing says it."""
    try:
        return version("usbshare")
    except PackageNotFoundError:
        return ""
