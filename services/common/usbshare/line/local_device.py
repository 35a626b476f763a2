"""Which Device opens a plain name on this system."""

from __future__ import annotations

import sys

if sys.platform == "win32":
    from usbshare.line.threaded.device import ThreadedDevice as LocalDevice
else:
    from usbshare.line.posix.device import PosixDevice as LocalDevice

__all__ = ["LocalDevice"]
