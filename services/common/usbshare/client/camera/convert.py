"""Between messages of camera.proto and our own; nothing else here knows both."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from usbshare.base.terminal_safe_text import clean_text
from usbshare.camera.v1 import camera_pb2 as pb
from usbshare.client.camera import messages as m
from usbshare.line.profiles import Priority

MOST_TEXT_BYTES = 300

_PRIORITIES = {
    Priority.EMERGENCY: pb.PRIORITY_EMERGENCY,
    Priority.HIGH: pb.PRIORITY_HIGH,
    Priority.NORMAL: pb.PRIORITY_NORMAL,
    Priority.LOW: pb.PRIORITY_LOW,
}
_FORMATS = {m.Format.JPEG: pb.FORMAT_JPEG, m.Format.H264: pb.FORMAT_H264}
_STATES = {
    pb.CAMERA_STATE_CLOSED: m.CameraState.CLOSED,
    pb.CAMERA_STATE_OPENING: m.CameraState.OPENING,
    pb.CAMERA_STATE_LIVE: m.CameraState.LIVE,
    pb.CAMERA_STATE_LOST: m.CameraState.LOST,
}


def open_request(camera_id: str, view: m.View, client_name: str) -> pb.WatchRequest:
    """Return the first message; the window is left to the service."""
    wanted = pb.View(
        width_px=view.width,
        fps=view.fps,
        quality=view.quality,
        format=_FORMATS[view.format],
        priority=_PRIORITIES[view.priority],
        is_fixed=view.is_fixed,
    )
    opening = pb.Open(camera_id=camera_id, view=wanted, client_name=client_name)
    return pb.WatchRequest(open=opening)


def acknowledge(sequence: int) -> pb.WatchRequest:
    """Return the acknowledgement of a frame; 0 acknowledges `opened`."""
    return pb.WatchRequest(acknowledge=pb.Acknowledge(sequence=sequence))


def event(response: pb.WatchResponse) -> m.Event | None:
    """Return what happened; None for what this version does not know or did not ask for."""
    kind = response.WhichOneof("event")
    if kind == "frame":
        return frame(response.frame, response.delivery)
    if kind == "opened":
        return m.OpenedEvent(camera(response.opened.camera), response.opened.window)
    if kind == "state_changed":
        return m.CameraEvent(camera(response.state_changed.camera))
    return None


def frame(message: pb.Frame, delivery: pb.Delivery | None = None) -> m.Frame:
    """Return a picture with how it fared."""
    delivery = delivery or pb.Delivery()
    is_h264 = message.format == pb.FORMAT_H264
    return m.Frame(
        sequence=message.sequence,
        captured_s=_unix_s(message.capture_time),
        captured_monotonic_ns=message.capture_monotonic_ns,
        width=message.width_px,
        height=message.height_px,
        data=message.data,
        format=m.Format.H264 if is_h264 else m.Format.JPEG,
        quality=message.quality,
        is_placeholder=message.is_placeholder,
        wait_s=_seconds(message.wait_delay),
        encode_s=_seconds(message.encode_delay),
        send_s=_seconds(delivery.send_delay),
        dropped=delivery.dropped_frames,
        given_fps=delivery.fps,
        is_key=message.is_key,
    )


def camera(message: pb.Camera) -> m.RemoteCamera:
    """Return a camera; its texts are made fit to be shown."""
    return m.RemoteCamera(
        id=clean_text(message.id, MOST_TEXT_BYTES),
        name=clean_text(message.name, MOST_TEXT_BYTES),
        source=clean_text(message.source, MOST_TEXT_BYTES),
        state=_STATES.get(message.state, m.CameraState.UNKNOWN),
        reason=clean_text(message.state_reason, MOST_TEXT_BYTES),
        viewers=message.viewers,
    )


def snapshot_request(camera_id: str, view: m.View) -> pb.SnapshotRequest:
    """Return the asking for one picture."""
    return pb.SnapshotRequest(camera_id=camera_id, width_px=view.width, quality=view.quality)


def host_report(
    response: pb.WatchStatsResponse, client_name: str, round_trip_s: float
) -> m.HostReport:
    """Return the host's time and what it counts of the viewer that calls itself so."""
    viewers = (viewer for each in response.cameras for viewer in each.viewers)
    ours = [viewer for viewer in viewers if viewer.client_name == client_name]
    return m.HostReport(_unix_s(response.time), round_trip_s, _drops(ours))


def _drops(ours: Sequence[pb.ViewerStats]) -> m.ServiceDrops | None:
    if not ours:
        return None
    newest = ours[-1]  # an older stream of ours may not be gone yet
    return m.ServiceDrops(newest.dropped_window, newest.dropped_rate, newest.dropped_encoder)


def _unix_s(message: Timestamp) -> float:
    return message.seconds + message.nanos * 1e-9


def _seconds(message: Duration) -> float:
    return message.seconds + message.nanos * 1e-9
