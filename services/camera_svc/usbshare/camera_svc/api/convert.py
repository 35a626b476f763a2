"""Between messages of camera.proto and the domain; nothing else here knows both."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from usbshare.base.errors import InvalidArgumentError, NotSupportedError
from usbshare.camera.v1 import camera_pb2 as pb
from usbshare.camera_svc.capture.camera import Camera, CameraState
from usbshare.camera_svc.capture.frame_source import Control, ControlChange, Mode, PixelFormat
from usbshare.camera_svc.capture.registry import OfferedCamera
from usbshare.camera_svc.picture.frame import Format, Picture
from usbshare.camera_svc.picture.h264 import why_missing
from usbshare.camera_svc.viewers.stats import Watcher
from usbshare.camera_svc.viewers.viewer import MOST_WINDOW, View
from usbshare.line.profiles import Priority
from usbshare.rpc.wire_time import duration, seconds_of, timestamp_of

LONGEST_NAME_BYTES = 64
WIDEST_PX = 16384
MOST_FPS = 240.0
BEST_QUALITY = 100
MOST_CHANGES = 16

_PRIORITIES = {
    pb.PRIORITY_UNSPECIFIED: Priority.NORMAL,
    pb.PRIORITY_EMERGENCY: Priority.EMERGENCY,
    pb.PRIORITY_HIGH: Priority.HIGH,
    pb.PRIORITY_NORMAL: Priority.NORMAL,
    pb.PRIORITY_LOW: Priority.LOW,
}
_FORMATS = {
    pb.FORMAT_UNSPECIFIED: Format.JPEG,
    pb.FORMAT_JPEG: Format.JPEG,
    pb.FORMAT_H264: Format.H264,
}
_PRIORITY_CODES = {value: key for key, value in _PRIORITIES.items()}
_FORMAT_CODES = {value: key for key, value in _FORMATS.items()}
_STATES = {
    CameraState.CLOSED: pb.CAMERA_STATE_CLOSED,
    CameraState.OPENING: pb.CAMERA_STATE_OPENING,
    CameraState.LIVE: pb.CAMERA_STATE_LIVE,
    CameraState.LOST: pb.CAMERA_STATE_LOST,
}
_PIXEL_FORMATS = {
    PixelFormat.MJPEG: pb.PIXEL_FORMAT_MJPEG,
    PixelFormat.RAW: pb.PIXEL_FORMAT_RAW,
}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a stream opens with; window 0: adapted to the round trip."""

    camera_id: str
    view: View
    window: int
    client_name: str


@dataclass(frozen=True, slots=True)
class AskedPicture:
    """What a snapshot is to be; quality 0 leaves the choice to the service."""

    camera_id: str
    width: int
    quality: int
    max_age_s: float


# What clients send.


def asked(message: pb.Open) -> Asked:
    """Return what a stream is for; raises InvalidArgumentError naming the field that is wrong."""
    window = _within(message.window, "open.window", MOST_WINDOW)
    name = message.client_name
    if len(name.encode()) > LONGEST_NAME_BYTES or not name.isprintable():
        raise InvalidArgumentError(
            f"open.client_name must be at most {LONGEST_NAME_BYTES} printable bytes"
        )
    return Asked(message.camera_id, view(message.view, "open.view"), window, name)


def view(message: pb.View, field: str = "adjust.view") -> View:
    """Return a view; raises InvalidArgumentError, NotSupportedError where nothing encodes it."""
    encoding = _known(_FORMATS, message.format, f"{field}.format", pb.Format)
    if encoding is Format.H264 and (why := why_missing()):
        raise NotSupportedError(f"{field}.format: {why}")
    return View(
        width=_within(message.width_px, f"{field}.width_px", WIDEST_PX),
        fps=_rate(message.fps, f"{field}.fps"),
        quality=_within(message.quality, f"{field}.quality", BEST_QUALITY),
        format=encoding,
        priority=_known(_PRIORITIES, message.priority, f"{field}.priority", pb.Priority),
        is_fixed=message.is_fixed,
    )


def asked_picture(message: pb.SnapshotRequest) -> AskedPicture:
    """Return what a snapshot is to be; raises InvalidArgumentError."""
    return AskedPicture(
        message.camera_id,
        _within(message.width_px, "width_px", WIDEST_PX),
        _within(message.quality, "quality", BEST_QUALITY),
        seconds_of(message.max_age, "max_age", most=3600.0, absent=1.0),
    )


def control_changes(messages: Iterable[pb.ControlChange]) -> tuple[ControlChange, ...]:
    """Return what to change; raises InvalidArgumentError."""
    changes = tuple(_control_change(message) for message in messages)
    if not 1 <= len(changes) <= MOST_CHANGES:
        raise InvalidArgumentError(
            f"changes has {len(changes)} items; 1 to {MOST_CHANGES} are allowed"
        )
    return changes


def interval_s(message: pb.WatchStatsRequest) -> float:
    """Return the time between two responses; raises InvalidArgumentError."""
    return seconds_of(message.interval, "interval", least=0.1, most=3600.0, absent=1.0)


def _control_change(message: pb.ControlChange) -> ControlChange:
    value = message.value if message.HasField("value") else None
    automatic = message.automatic if message.HasField("automatic") else None
    if value is None and automatic is None:
        raise InvalidArgumentError("each item of changes needs value or automatic")
    if value is not None and not math.isfinite(value):
        raise InvalidArgumentError(f"changes.value is {value}, not a number")
    return ControlChange(message.name, value, automatic)


def _within(value: int, field: str, most: int) -> int:
    if value > most:
        raise InvalidArgumentError(f"{field} is {value}; 0 to {most} are allowed")
    return value


def _rate(value: float, field: str) -> float:
    if not 0 <= value <= MOST_FPS:  # NaN is not
        raise InvalidArgumentError(f"{field} is {value:g}; 0 to {MOST_FPS:g} are allowed")
    return value


def _known(names: Mapping[Any, T], value: Any, field: str, enum: Any) -> T:
    if value in names:
        return names[value]
    accepted = ", ".join(enum.Name(key) for key in names)
    raise InvalidArgumentError(f"{field} is {value}; accepted: {accepted}")


# What the service sends; a stream's steps are serialised here, pictures once for all viewers.


def frame_bytes(picture: Picture) -> bytes:
    """Return a stream's step with a picture, serialised; a delivery may be appended."""
    return pb.WatchResponse(frame=frame_message(picture)).SerializeToString()


def delivery_bytes(send_delay_s: float, dropped_frames: int, fps: float) -> bytes:
    """Return what, appended to a frame's bytes, says how it fared."""
    delivery = pb.Delivery(
        send_delay=duration(max(0.0, send_delay_s)), dropped_frames=dropped_frames, fps=fps
    )
    return pb.WatchResponse(delivery=delivery).SerializeToString()


def opened_bytes(offered: OfferedCamera, window: int) -> bytes:
    """Return a stream's first step."""
    opened = pb.Opened(camera=camera_message(offered), window=window)
    return pb.WatchResponse(opened=opened).SerializeToString()


def state_bytes(offered: OfferedCamera) -> bytes:
    """Return a stream's step with the camera as it is."""
    changed = pb.StateChanged(camera=camera_message(offered))
    return pb.WatchResponse(state_changed=changed).SerializeToString()


def controls_bytes(controls: Iterable[Control], message: str) -> bytes:
    """Return a stream's answer to a change of controls."""
    answer = pb.Controls(controls=control_messages(controls), message=message)
    return pb.WatchResponse(controls=answer).SerializeToString()


def frame_message(picture: Picture) -> pb.Frame:
    """Return a picture."""
    return pb.Frame(
        sequence=picture.sequence,
        capture_time=timestamp_of(picture.captured.wall_s),
        capture_monotonic_ns=picture.captured.monotonic_ns,
        width_px=picture.width,
        height_px=picture.height,
        format=_FORMAT_CODES[picture.format],
        quality=picture.quality,
        is_key=picture.is_key,
        is_placeholder=picture.is_placeholder,
        data=picture.data,
        wait_delay=duration(max(0.0, picture.wait_s)),
        encode_delay=duration(picture.encode_s),
    )


def camera_message(offered: OfferedCamera) -> pb.Camera:
    """Return a camera as it is."""
    camera = offered.camera
    message = pb.Camera(
        id=camera.id,
        name=camera.config.name,
        source=camera.config.shown_source,
        state=_STATES[camera.state],
        state_reason=camera.reason,
        modes=[_mode_message(mode) for mode in camera.modes],
        controls=control_messages(camera.known_controls),
        viewers=len(offered.watchers),
    )
    if camera.last_good is not None:
        message.last_frame_time.CopyFrom(timestamp_of(camera.last_good.captured.wall_s))
    return message


def control_messages(controls: Iterable[Control]) -> list[pb.Control]:
    """Return controls."""
    return [
        pb.Control(
            name=control.name,
            minimum=control.minimum,
            maximum=control.maximum,
            value=control.value,
            automatic=control.automatic,
            can_be_automatic=control.can_be_automatic,
        )
        for control in controls
    ]


def stats_message(offered: OfferedCamera, now: float) -> pb.CameraStats:
    """Return a camera's counters, and its viewers'."""
    captured, encoded = offered.captured, offered.encoded
    times = pb.TimeStats(
        count=encoded.encoded_frames,
        mean=duration(encoded.encode_sum_s / max(encoded.encoded_frames, 1)),
        longest=duration(encoded.encode_longest_s),
    )
    return pb.CameraStats(
        camera_id=offered.id,
        captured_frames=captured.captured,
        bad_frames=captured.bad,
        decoded_frames=encoded.decoded_frames,
        encoded_frames=encoded.encoded_frames,
        passed_frames=encoded.passed_frames,
        losses=offered.camera.losses,
        encode_time=times,
        viewers=[_viewer_message(each, offered.camera, now) for each in offered.watchers],
    )


def _mode_message(mode: Mode) -> pb.Mode:
    return pb.Mode(
        width_px=mode.width,
        height_px=mode.height,
        fps=mode.fps,
        format=_PIXEL_FORMATS[mode.format],
    )


def _viewer_message(watcher: Watcher, camera: Camera, now: float) -> pb.ViewerStats:
    viewer, counters = watcher.viewer, watcher.viewer.counters
    times = pb.TimeStats(
        count=counters.acknowledged,
        mean=duration(counters.acknowledge_sum_s / max(counters.acknowledged, 1)),
        longest=duration(counters.acknowledge_longest_s),
    )
    return pb.ViewerStats(
        client_name=watcher.client.name,
        identity=watcher.client.identity,
        peer=watcher.client.peer,
        asked=_view_message(viewer.view),
        given=_given_message(watcher, camera, now),
        window=viewer.allowed,
        sent_frames=counters.sent_frames,
        sent_bytes=counters.sent_bytes,
        dropped_window=counters.dropped_window,
        dropped_rate=counters.dropped_rate,
        dropped_encoder=counters.dropped_encoder,
        acknowledge_time=times,
    )


def _view_message(asked_for: View) -> pb.View:
    return pb.View(
        width_px=asked_for.width,
        fps=asked_for.fps,
        quality=asked_for.quality,
        format=_FORMAT_CODES[asked_for.format],
        priority=_PRIORITY_CODES[asked_for.priority],
        is_fixed=asked_for.is_fixed,
    )


def _given_message(watcher: Watcher, camera: Camera, now: float) -> pb.View:
    given = _view_message(watcher.viewer.view)
    given.fps = watcher.rate.fps(now)
    if camera.last_good is not None:
        native = camera.last_good.width
        recipe = watcher.viewer.recipe(native)
        given.width_px, given.quality = recipe.width or native, recipe.quality
        given.format = _FORMAT_CODES[recipe.format]
    return given
