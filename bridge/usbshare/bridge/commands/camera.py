"""`usbshare-bridge camera`: a remote camera's picture on this computer."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from usbshare.base.errors import InvalidArgumentError
from usbshare.base.event_loop import run
from usbshare.base.http_access import Access, checked_token, new_token
from usbshare.base.http_address import PICTURES, HttpAddress, http_address
from usbshare.base.line_writer import LineWriter
from usbshare.base.logs import warn_on_stderr
from usbshare.bridge.camera.h264 import require_decoder
from usbshare.bridge.camera.output import Output
from usbshare.bridge.camera.overview import Overview, iso_time
from usbshare.bridge.camera.recording import Recording
from usbshare.bridge.camera.session import HttpChoice, WatchWish, watch
from usbshare.bridge.camera.snapshot import STDOUT, save_snapshot
from usbshare.bridge.camera.timelapse import Timelapse
from usbshare.bridge.camera.video_file import require_known_ending
from usbshare.bridge.commands.camera_target import camera_id_or_default, camera_target
from usbshare.bridge.commands.json_option import json_option
from usbshare.bridge.commands.notices import told_run, warn
from usbshare.bridge.commands.options import connection_options
from usbshare.bridge.commands.saved_choices import note_camera
from usbshare.bridge.forwarding.report import JsonReporter, Reporter, TextReporter
from usbshare.bridge.forwarding.virtual_com_port import client_name
from usbshare.client.camera.kept_view import ViewChoice
from usbshare.client.camera.messages import Format, Frame, View
from usbshare.line.profiles import Priority

LEAST_INTERVAL_S = 0.1
_UNITS_S = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "h": 3600.0}
_INTERVAL = re.compile(r"(\d+(?:\.\d+)?) ?(ms|s|m|h|)")


class IntervalType(click.ParamType[float]):
    """A time such as `10s`, `500ms`, `2m` or `1h`; a bare number is seconds."""

    name = "TIME"

    def convert(
        self, value: str | float, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return seconds or fail."""
        if isinstance(value, float):
            return value
        match = _INTERVAL.fullmatch(value.strip().lower())
        seconds = float(match[1]) * _UNITS_S[match[2]] if match else 0.0
        if seconds < LEAST_INTERVAL_S:
            self.fail(f"{value!r} is not a time of 100 ms or more, such as 10s or 2m", param, ctx)
        return seconds


class HttpAddressType(click.ParamType[HttpAddress]):
    """HOST:PORT of this computer; the port may be left out."""

    name = "HOST:PORT"

    def convert(
        self, value: str | HttpAddress, param: click.Parameter | None, ctx: click.Context | None
    ) -> HttpAddress:
        """Return the address or fail with what is wrong with it."""
        if isinstance(value, HttpAddress):
            return value
        try:
            return http_address(value)
        except InvalidArgumentError as error:
            self.fail(str(error), param, ctx)


OWN_VIRTUAL_CAMERA = "auto"


def _view_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add what is asked of the camera."""
    options = (
        click.option(
            "--camera",
            "camera_id",
            default="",
            envvar="USBSHARE_CAMERA",
            show_envvar=True,
            help="The camera's id; needed only if the host has several.",
        ),
        click.option(
            "--width",
            type=click.IntRange(min=0),
            default=0,
            metavar="PIXELS",
            help="Maximum picture width; 0 is the camera's own.",
        ),
        click.option(
            "--fps",
            type=click.FloatRange(min=0, max=240),
            default=0.0,
            help="Maximum frame rate; 0 is the camera's own.",
        ),
        click.option(
            "--quality",
            type=click.IntRange(min=0, max=100),
            default=0,
            help="JPEG quality, 1 to 100; 0 lets the service choose.",
        ),
        click.option(
            "--format",
            "encoding",
            type=click.Choice([each.value for each in Format]),
            default=Format.JPEG.value,
            help="Format on the network; h264 needs a thirtieth of the bytes where little "
            "moves, and requires PyAV at both ends.",
        ),
        click.option(
            "--priority",
            type=click.Choice([priority.name.lower() for priority in Priority]),
            default=Priority.NORMAL.name.lower(),
            help="Which viewer the host serves first when it cannot serve all.",
        ),
        click.option(
            "--fixed",
            "is_fixed",
            is_flag=True,
            help="Keep size and quality however slow the link is; pictures may then be old.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _place_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add where the pictures go."""
    options = (
        click.option(
            "--http",
            type=HttpAddressType(),
            envvar="USBSHARE_CAMERA_HTTP",
            show_envvar=True,
            help="Serve a page, /stream, /snapshot.jpg and /state at this address; "
            f"{PICTURES.usual} unless pictures go elsewhere. A token is needed beyond "
            "this computer.",
        ),
        click.option(
            "--token",
            envvar="USBSHARE_CAMERA_TOKEN",
            show_envvar=True,
            help=(
                "Token that every HTTP request must carry as ?token=…; made and printed where "
                "needed."
            ),
        ),
        click.option(
            "--v4l2",
            "virtual_camera",
            metavar="DEVICE",
            help="Show the pictures as a camera of this computer: /dev/videoN of v4l2loopback, "
            f"or '{OWN_VIRTUAL_CAMERA}' for the platform's own. Needs pyvirtualcam.",
        ),
        click.option(
            "--record",
            type=click.Path(path_type=Path, dir_okay=False),
            help="Record to a new file: .mkv (with times) or .mjpeg.",
        ),
        click.option(
            "--timelapse",
            type=click.Path(path_type=Path, file_okay=False),
            metavar="FOLDER",
            help="Save a picture in this folder at intervals.",
        ),
        click.option(
            "--every",
            "every_s",
            type=IntervalType(),
            default="10s",
            help="Interval of --timelapse.",
        ),
        click.option(
            "--snapshot",
            type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
            help="Write one picture to this file ('-' is stdout) and exit.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.command()
@connection_options
@_view_options
@_place_options
@click.option("--stats", is_flag=True, help="Print age, rate and drops once a second.")
@json_option("Print JSON lines on stdout.")
@click.pass_context
def camera(
    context: click.Context,
    target: str | None,
    bundle: Path | None,
    insecure: bool,
    camera_id: str,
    width: int,
    fps: float,
    quality: int,
    encoding: str,
    priority: str,
    is_fixed: bool,
    http: HttpAddress | None,
    token: str | None,
    virtual_camera: str | None,
    record: Path | None,
    timelapse: Path | None,
    every_s: float,
    snapshot: Path | None,
    stats: bool,
    as_json: bool,
) -> None:
    """Show a remote camera here: in the browser, as a stream, as files or as a virtual camera."""
    _check_snapshot(snapshot, http, virtual_camera, record, timelapse)
    outputs = _outputs(record, timelapse, every_s, virtual_camera, fps)
    serving = _serving(http, token, has_outputs=bool(outputs)) if snapshot is None else None
    where, trust = camera_target(context, target, bundle, insecure)
    camera_id = camera_id_or_default(context, camera_id, where)
    view = View(width, fps, quality, Priority[priority.upper()], Format(encoding), is_fixed)
    if snapshot is not None:
        frame = told_run(where)(save_snapshot(where, trust, camera_id, view, snapshot))
        _tell_snapshot(frame, snapshot, as_json=as_json)
        return
    if view.format is Format.H264:
        require_decoder()
    warn_on_stderr()
    reporter = JsonReporter() if as_json else TextReporter()
    choice = ViewChoice(camera_id, view, client_name(f"bridge camera {os.getpid()}"))
    stood = note_camera(context.obj.defaults, where, warn)
    wish = WatchWish(where, trust, choice, serving, outputs, stood)
    run(watch(wish, reporter, _stats_printer(reporter, stats=stats, as_json=as_json)))


def _check_snapshot(snapshot: Path | None, *others: object) -> None:
    if snapshot is not None and any(other is not None for other in others):
        raise click.UsageError(
            "Give '--snapshot' without other outputs: it exits after one picture."
        )


def _outputs(
    record: Path | None,
    timelapse: Path | None,
    every_s: float,
    virtual_camera: str | None,
    fps: float,
) -> list[Output]:
    outputs: list[Output] = []
    if record is not None:
        require_known_ending(record)
        outputs.append(Recording(record))
    if timelapse is not None:
        outputs.append(Timelapse(timelapse, every_s, time.monotonic))
    if virtual_camera is not None:
        outputs.append(_virtual_camera(virtual_camera, fps))
    return outputs


def _virtual_camera(device: str, fps: float) -> Output:
    from usbshare.bridge.camera.virtual_camera import VirtualCamera, opener  # noqa: PLC0415 - extra

    open_sink = opener("" if device == OWN_VIRTUAL_CAMERA else device)
    return VirtualCamera(open_sink, fps, lambda name: click.echo(f"camera {name}", err=True))


def _serving(
    http: HttpAddress | None, token: str | None, *, has_outputs: bool
) -> HttpChoice | None:
    if http is None and has_outputs:
        return None
    address = http or http_address(PICTURES.usual)
    if token is not None:
        return HttpChoice(address, Access(checked_token(token)))
    return HttpChoice(address, Access("" if address.is_loopback else new_token()))


def _tell_snapshot(frame: Frame, path: Path, *, as_json: bool) -> None:
    fields = asdict(frame) | {"data": len(frame.data), "format": frame.format.value}
    del fields["is_key"]  # a single picture always is
    if as_json and path != STDOUT:
        reporter: Reporter = JsonReporter()
    else:
        reporter = TextReporter()
    text = f"{path}: {frame.width}x{frame.height}, {len(frame.data)} bytes, of {iso_time(frame)}"
    reporter.event("snapshot", text, path=str(path), **fields)


def _stats_printer(reporter: Reporter, *, stats: bool, as_json: bool) -> Callable[[Overview], None]:
    lines = LineWriter(sys.stdout, lambda lost: f"{lost} lines dropped\n")

    def tell(overview: Overview) -> None:
        if stats and as_json:
            reporter.event("stats", overview.line(), **overview.as_dict())
        elif stats:
            lines.write(f"{overview.line()}\n")

    return tell
