"""The service's counters for Prometheus, read at each scrape."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from usbshare.camera_svc.capture.camera import CameraState
from usbshare.camera_svc.capture.registry import OfferedCamera

_COUNTERS: dict[str, tuple[str, Callable[[OfferedCamera], float]]] = {
    "captured_frames": ("Frames captured", lambda c: c.captured.captured),
    "bad_frames": ("Frames that were not pictures", lambda c: c.captured.bad),
    "replaced_frames": (
        "Frames that the event loop took too late",
        lambda c: c.captured.replaced,
    ),
    "abandoned_captures": (
        "Capture threads abandoned in a driver that hung",
        lambda c: c.captured.abandoned,
    ),
    "decoded_frames": ("Frames decoded", lambda c: c.encoded.decoded_frames),
    "encoded_frames": ("Encodings made", lambda c: c.encoded.encoded_frames),
    "passed_frames": ("Frames passed through unchanged", lambda c: c.encoded.passed_frames),
    "losses": ("Times the camera was lost", lambda c: c.camera.losses),
    "sent_frames": ("Frames sent to all viewers", lambda c: c.sent_frames),
    "sent_bytes": ("Bytes of frames sent to all viewers", lambda c: c.sent_bytes),
}
_GAUGES: dict[str, tuple[str, Callable[[OfferedCamera], float]]] = {
    "viewers": ("Viewers now", lambda c: len(c.watchers)),
    "live": (
        "Whether the camera delivers",
        lambda c: float(c.camera.state is CameraState.LIVE),
    ),
    "lost": (
        "Whether the camera is lost",
        lambda c: float(c.camera.state is CameraState.LOST),
    ),
}


class CameraCollector(Collector):
    """Reads the counters of every camera at the moment of a scrape."""

    def __init__(self, cameras: Callable[[], Iterable[OfferedCamera]]) -> None:
        self._cameras = cameras

    def collect(self) -> Iterator[Metric]:
        """Yield one family a counter, a sample a camera."""
        cameras = list(self._cameras())
        for name, (text, value) in _COUNTERS.items():
            counter = CounterMetricFamily(f"usbshare_camera_{name}", text, labels=["camera"])
            for each in cameras:
                counter.add_metric([each.id], value(each))
            yield counter
        for name, (text, value) in _GAUGES.items():
            gauge = GaugeMetricFamily(f"usbshare_camera_{name}", text, labels=["camera"])
            for each in cameras:
                gauge.add_metric([each.id], value(each))
            yield gauge
        yield _encode_times(cameras)


def _encode_times(cameras: Iterable[OfferedCamera]) -> Metric:
    family = Metric("usbshare_camera_encode_time_seconds", "Encoding of a frame", "summary")
    for each in cameras:
        labels = {"camera": each.id}
        family.add_sample(f"{family.name}_count", labels, each.encoded.encoded_frames)
        family.add_sample(f"{family.name}_sum", labels, each.encoded.encode_sum_s)
    return family
