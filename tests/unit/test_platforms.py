"""What a Windows user starts must not import what only POSIX has."""

from __future__ import annotations

import subprocess
import sys

import pytest

POSIX_ONLY = ("fcntl", "termios", "tty", "pty", "pwd", "grp", "resource")

SCRIPT = """
import importlib, sys
import asyncio, serial, socket, ssl, subprocess, tempfile  # make their own choices first
for name in {posix!r}:
    sys.modules[name] = None
importlib.import_module({module!r})
"""


@pytest.mark.parametrize(
    "module",
    [
        "usbshare.bridge.local_ports.com0com",
        "usbshare.line.threaded.device",
        "usbshare.rpc.tls",
        "usbshare.bridge.forwarding.relay",
        "usbshare.client.serial.link",
        "usbshare.bridge.commands.send_exchange",
        "usbshare.bridge.checkup.driver_com0com",
        "usbshare.serial_svc.checkup.devices",
        "usbshare.serial_svc.checkup.firewall_windows",
        "usbshare.serial_svc.ports.port",
        "usbshare.sim.device",
        "usbshare.analysis.worker_main",
        "usbshare.analysis.worker_process",
        "usbshare.bridge.jobs.capture_port",
    ],
)
def test_a_module_for_every_platform_imports_without_posix(module: str) -> None:
    # msvcrt and winreg do not exist here, so modules that choose by platform are left to mypy.
    script = SCRIPT.format(posix=POSIX_ONLY, module=module)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
