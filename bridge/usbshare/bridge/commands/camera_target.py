"""Which camera service is meant, and which of its cameras."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from usbshare.base.usual_ports import CAMERA_PORT
from usbshare.bridge.commands.notices import warn
from usbshare.bridge.commands.options import (
    Wanted,
    configured_host,
    connection,
    says_port,
    trust,
    wanted,
)
from usbshare.rpc.channel import DEFAULT_PORT, Target
from usbshare.rpc.tls import ClientBundle


def camera_target(
    context: click.Context, target: str | None, bundle: Path | None, insecure: bool
) -> tuple[Target, ClientBundle | None]:
    """Return where the camera service is and with which trust; raises UsbshareError.

    A port that somebody says now counts; one that is configured or was used last is the serial
    service's, whose host is the camera's.
    """
    wishes = wanted(context, target, bundle, insecure)
    if (configured := _configured(wishes)) is not None:
        return configured, trust(wishes)
    where, trusted = connection(context, target, bundle, insecure, kind="camera")
    is_found = where.port != DEFAULT_PORT and not says_port(wishes.target)
    if is_found or (wishes.is_asked and says_port(wishes.target)):
        return where, trusted
    return replace(where, port=CAMERA_PORT), trusted


def camera_id_or_default(context: click.Context, camera_id: str, target: Target) -> str:
    """Return the camera's id: as said, else as configured, else as last used with that host."""
    wishes: Wanted = context.obj
    if said := camera_id or str(wishes.defaults.table.get("camera", "")):
        return said
    if repeated := wishes.defaults.repeated_camera(target):
        warn(f"as last time: --camera {repeated}")
    return repeated


def _configured(wishes: Wanted) -> Target | None:
    """Return where the camera service of a host of `[hosts]` is."""
    if (host := configured_host(wishes)) is None:
        return None
    return Target(host.address, host.camera or CAMERA_PORT, name=wishes.target.strip())
