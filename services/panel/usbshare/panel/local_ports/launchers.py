"""The launcher of this system."""

from __future__ import annotations

import sys

from usbshare.panel.local_ports.bridge_process import Launcher

if sys.platform == "win32":
    from usbshare.panel.local_ports.windows_launcher import WindowsLauncher as SystemLauncher
else:
    from usbshare.panel.local_ports.posix_launcher import PosixLauncher as SystemLauncher


def system_launcher() -> Launcher:
    """Return what starts processes here."""
    return SystemLauncher()
