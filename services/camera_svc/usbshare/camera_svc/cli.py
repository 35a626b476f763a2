"""The command line of camera-svc."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from usbshare.camera_svc.capture.local_camera import camera_lister
from usbshare.camera_svc.capture.quarantine import plugged_in_cameras
from usbshare.camera_svc.capture.video_source import quiet_opencv
from usbshare.camera_svc.picture.encode import encode_on_one_thread_each
from usbshare.camera_svc.settings import PROGRAM, Settings
from usbshare.service.cli import run_command_line
from usbshare.service.command import service_command
from usbshare.service.commands.devices import devices_group

HELP = """
Offer this host's cameras to clients of its site, over mTLS.

Without configuration the service offers every camera that is plugged in; if there is none, it
offers a simulated laser bed as camera `demo`.
"""


def _serve(settings: Settings, insecure: bool) -> Coroutine[Any, Any, None]:
    quiet_opencv()
    encode_on_one_thread_each()
    from usbshare.camera_svc.service import serve  # noqa: PLC0415 - gRPC reads its settings then

    return serve(settings, insecure)


cli = service_command(PROGRAM, Settings, _serve, HELP)
cli.add_command(devices_group(PROGRAM.name, lambda: plugged_in_cameras(camera_lister())))


def main() -> None:
    """Run the command line; every error is one clear line, 2 for a bad configuration."""
    run_command_line(PROGRAM.name, cli)
