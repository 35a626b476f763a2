"""Which pyserial ports take bytes at their own rate, on this system."""

from __future__ import annotations

import sys

if sys.platform == "win32":
    from usbshare.line.usb.windows_ports import takes_at_own_rate
else:

    def takes_at_own_rate(url: str) -> bool:
        """Return False: plain names are PosixDevice's here, and other URLs have a line's rate."""
        return False


__all__ = ["takes_at_own_rate"]
