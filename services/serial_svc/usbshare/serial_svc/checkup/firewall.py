"""Which firewall this system has."""

from __future__ import annotations

import sys

if sys.platform == "win32":
    from usbshare.serial_svc.checkup.firewall_windows import judge_firewall
else:
    from usbshare.serial_svc.checkup.firewall_linux import judge_firewall

__all__ = ["judge_firewall"]
