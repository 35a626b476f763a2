"""How the pictures come: age, rate, bytes, and what became of those that did not."""

from __future__ import annotations

from collections import deque
from dataclasses import asdict, dataclass, replace

from usbshare.client.camera.messages import Frame, ServiceDrops
from usbshare.client.serial.latency import Latency, LatencySummary

WINDOW_S = 2.0
_MOST_KEPT = 1024


@dataclass(frozen=True, slots=True)
class Drops:
    """Frames that were not shown, by cause.

    `window`, `rate` and `encoder`: the service did not send them, since our link was full, a lower
    rate is asked for or given, or it had no time to encode. `late`: a newer one had come before.
    `unusable`: no picture that was asked for. `http`: programs here that read too slowly.
    """

    window: int = 0
    rate: int = 0
    encoder: int = 0
    late: int = 0
    unusable: int = 0
    http: int = 0

    def __str__(self) -> str:
        return ", ".join(f"{name} {count}" for name, count in asdict(self).items())


class Measures:
    """Counts for one viewer, over all of its streams; times are monotonic seconds."""

    def __init__(self) -> None:
        self.frames = 0
        self.reconnections = 0
        self.last: Frame | None = None
        self._ages = Latency()
        self._arrivals: deque[tuple[float, int, int]] = deque(maxlen=_MOST_KEPT)
        self._drops = Drops()
        self._before = ServiceDrops()
        self._stream = ServiceDrops()
        self._started_at: float | None = None

    def lost(self) -> None:
        """Count a stream that was lost: another takes its place."""
        self.reconnections += 1

    def arrived(self, frame: Frame, age_s: float, now: float) -> None:
        """Count a frame that is shown; a placeholder only for its bytes."""
        if self._started_at is None:
            self._started_at = now
        self._arrivals.append((now, 0 if frame.is_placeholder else 1, frame.link_bytes))
        if frame.is_placeholder:
            return
        self.frames += 1
        self.last = frame
        self._ages.add(age_s)

    def not_sent(self, count: int) -> None:
        """Count the frames that the service did not send because our window was full."""
        self._drops = replace(self._drops, window=self._drops.window + count)

    def late(self) -> None:
        """Count a frame that came after a newer one."""
        self._drops = replace(self._drops, late=self._drops.late + 1)

    def unusable(self) -> None:
        """Count a frame that is no picture that we asked for."""
        self._drops = replace(self._drops, unusable=self._drops.unusable + 1)

    def http_skipped(self, count: int) -> None:
        """Count frames that a program here did not get."""
        self._drops = replace(self._drops, http=self._drops.http + count)

    def service_counts(self, drops: ServiceDrops) -> None:
        """Take what the service counts for the stream in use."""
        self._stream = drops

    def stream_ended(self) -> None:
        """Keep what the service counted for a stream that is no more."""
        self._before = self._service_drops
        self._stream = ServiceDrops()

    @property
    def drops(self) -> Drops:
        """All drops since the start; `rate` and `encoder` as last reported by the service."""
        service = self._service_drops
        return replace(self._drops, rate=service.rate, encoder=service.encoder)

    @property
    def ages(self) -> LatencySummary | None:
        """Ages at arrival of the last 100 frames; None before the first."""
        return self._ages.summary()

    def fps(self, now: float) -> float:
        """Return the frames a second over the last 2 s."""
        return self._rate(now, sum(frames for _, frames, _ in self._recent(now)))

    def bytes_per_s(self, now: float) -> float:
        """Return the bytes a second over the last 2 s."""
        return self._rate(now, sum(size for _, _, size in self._recent(now)))

    @property
    def _service_drops(self) -> ServiceDrops:
        rate = self._before.rate + self._stream.rate
        return ServiceDrops(rate=rate, encoder=self._before.encoder + self._stream.encoder)

    def _recent(self, now: float) -> deque[tuple[float, int, int]]:
        while self._arrivals and self._arrivals[0][0] <= now - WINDOW_S:
            self._arrivals.popleft()
        return self._arrivals

    def _rate(self, now: float, count: int) -> float:
        since = now if self._started_at is None else self._started_at
        return count / min(WINDOW_S, max(now - since, WINDOW_S / 10))
