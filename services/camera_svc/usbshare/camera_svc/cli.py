"""The command line of camera-svc; the only place that reads settings and builds objects."""

from __future__ import annotations

from pathlib import Path

import click

from usbshare.base.legacy.import_settings import Side
from usbshare.base.logs import set_up_logging
from usbshare.base.loop import run
from usbshare.base.settings_in_time import import_older_in_time
from usbshare.camera_svc.capture.local_camera import camera_lister
from usbshare.camera_svc.capture.quarantine import plugged_in_cameras
from usbshare.camera_svc.capture.video_source import quiet_opencv
from usbshare.camera_svc.picture.encode import encode_on_one_thread_each
from usbshare.camera_svc.settings import Settings
from usbshare.service.cli import (
    CONTEXT,
    is_about_config,
    prepare_to_serve,
    run_command_line,
    service_options,
    settings_in_time,
    teller,
    version_option,
)
from usbshare.service.command_group import CommandGroup
from usbshare.service.commands.audit import audit_commands
from usbshare.service.commands.completion import completion_command
from usbshare.service.commands.devices import devices_group
from usbshare.service.commands.install_service import SYSTEM, Shipped, install_service
from usbshare.service.commands.pki import pki_group


@click.group(cls=CommandGroup, invoke_without_command=True, context_settings=CONTEXT)
@service_options("USBSHARE_CAMERA_LISTEN")
@version_option("camera-svc")
@click.pass_context
def cli(
    context: click.Context,
    config: Path | None,
    listen: str | None,
    insecure: bool,
    check_config: bool,
    dump_config: bool,
) -> None:
    """Offer this host's cameras to clients of its site, over mTLS.

    Without configuration every camera that is plugged in is offered; where there is none, a
    simulated laser bed as camera `demo`.
    """
    if context.invoked_subcommand is not None:
        return
    tell = teller("camera-svc")
    if not (check_config or dump_config):
        import_older_in_time(Side.SERVER, config, tell)
    path, found = settings_in_time(config, Settings, tell)
    settings = _with_flags(found, listen)
    if not is_about_config(settings, path, check=check_config, dump=dump_config):
        table = settings.camera
        set_up_logging(table.log_level, as_json=table.log_format == "json")
        quiet_opencv()
        encode_on_one_thread_each()
        prepare_to_serve(insecure=insecure)
        from usbshare.camera_svc.service import serve  # noqa: PLC0415 - gRPC reads its settings then

        run(serve(settings, insecure=insecure))


cli.add_command(audit_commands("camera-svc"))
cli.add_command(completion_command("camera-svc"))
cli.add_command(
    install_service(Shipped("camera-svc", "usbshare.camera_svc", SYSTEM), teller("camera-svc"))
)
cli.add_command(pki_group("camera-svc"))
cli.add_command(devices_group("camera-svc", lambda: plugged_in_cameras(camera_lister())))


def main() -> None:
    """Run the command line; every error is one clear line, 2 for a bad configuration."""
    run_command_line("camera-svc", cli)


def _with_flags(settings: Settings, listen: str | None) -> Settings:
    if listen is None:
        return settings
    camera = settings.camera.model_copy(update={"listen": listen})
    return settings.model_copy(update={"camera": camera})
