"""A camera whose frames are made for viewers without an encoder, and eyes that know H.264."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import Any

from usbshare.camera_svc.picture.frame import Format, Picture, Raw, Recipe, Stamp
from usbshare.camera_svc.picture.h264 import VideoEncoderError
from usbshare.camera_svc.viewers.fanout import Fanout, Made
from usbshare.camera_svc.viewers.viewer import View, Viewer

KEY_BYTES, NEXT_BYTES, JPEG_BYTES = 100_000, 3_000, 100_000
FPS = 30
WIDTH = 1280


class Later(Executor):
    """Runs nothing until asked to."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Future[Any], Callable[[], Any]]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self._waiting.append((future, lambda: fn(*args, **kwargs)))
        return future

    def run_one(self) -> None:
        if not self._waiting:
            return
        future, work = self._waiting.pop(0)
        try:
            result = work()
        except VideoEncoderError as error:
            future.set_exception(error)
        else:
            future.set_result(result)

    def run_all(self) -> None:
        while self._waiting:
            self.run_one()


@dataclass
class FakeVideo:
    """Remembers what it made; each recipe has a stream until that is ended."""

    made: list[tuple[Recipe, Picture]] = field(default_factory=list)
    streams: dict[Recipe, tuple[int, int]] = field(default_factory=dict)
    fails: bool = False
    _streams_so_far: int = 0

    def make_next(self, raw: Raw, recipe: Recipe, *, force_key: bool) -> Made:
        if self.fails:
            raise VideoEncoderError("no such codec")
        if recipe not in self.streams:
            self._streams_so_far += 1
            self.streams[recipe] = (self._streams_so_far, 0)
        stream, index = self.streams[recipe]
        is_key = force_key or index == 0
        self.streams[recipe] = (stream, index + 1)
        data = bytes(_size(recipe, KEY_BYTES if is_key else NEXT_BYTES))
        picture = _picture(raw, data, Format.H264, is_key, stream, index + 1)
        self.made.append((recipe, picture))
        return picture, data

    def end(self, recipe: Recipe) -> None:
        self.streams.pop(recipe, None)

    @property
    def keys(self) -> list[int]:
        """Sequences of the key frames."""
        return [picture.sequence for _, picture in self.made if picture.is_key]


class Eyes:
    """A viewer at the other end: takes what comes, and fails over what it could not decode."""

    def __init__(self, viewer: Viewer) -> None:
        self.viewer = viewer
        self.seen: list[Picture] = []
        self._decoded = (0, 0)

    @property
    def formats(self) -> list[Format]:
        return [picture.format for picture in self.seen]

    def shows(self, encoding: Format) -> bool:
        """Return whether its newest picture came so."""
        return self.seen[-1].format is encoding

    @property
    def keys(self) -> list[int]:
        return [p.sequence for p in self.seen if p.format is Format.H264 and p.is_key]

    def take(self) -> Picture | None:
        """Take a picture, unacknowledged."""
        made = self.viewer.take()
        if made is None:
            return None
        picture, _ = made
        if picture.format is Format.H264:
            before = (picture.stream, picture.index - 1)
            assert picture.is_key or self._decoded == before, f"{picture.index} has no base"
        self._decoded = (picture.stream, picture.index)
        self.seen.append(picture)
        return picture

    def acknowledge(self) -> None:
        """Acknowledge all."""
        if self.seen:
            self.viewer.acknowledged(self.seen[-1].sequence)

    def look(self) -> None:
        """Take all that is there and acknowledge it."""
        while self.take() is not None:
            self.acknowledge()


@dataclass
class VideoBench:
    """A fan-out with such a camera; time goes on with its frames."""

    now: float = 0.0
    width: int = WIDTH
    sequence: int = 0
    jpegs: list[Recipe] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.executor = Later()
        self.video = FakeVideo()
        self.fanout = Fanout(
            self._make,
            self.executor,
            lambda call, *args: call(*args),
            self.failures.append,
            video=self.video,
            clock=lambda: self.now,
        )

    def eyes(self, window: int = 2, encoding: Format = Format.H264, **view: Any) -> Eyes:
        viewer = Viewer(View(format=encoding, **view), lambda: self.now, lambda: None, window)
        viewer.camera_rate(FPS)
        self.fanout.join(viewer)
        return Eyes(viewer)

    def capture(self) -> None:
        """Deliver the next frame, of which nothing is made yet."""
        self.now += 1 / FPS
        self.capture_now()

    def capture_now(self) -> None:
        """Deliver a frame, without time going on."""
        self.sequence += 1
        self.fanout.captured(Raw(self.sequence, Stamp(self.now, 0), self.width, 720))

    def run(self, seconds: float, *watching: Eyes) -> None:
        """Deliver frames that all of those see at once, and others do not take."""
        for _ in range(round(seconds * FPS)):
            self.capture()
            self.executor.run_all()
            for eyes in watching:
                eyes.look()
            self.fanout.serve()
            self.executor.run_all()

    def lose(self) -> None:
        """Show a placeholder for the camera's picture."""
        self.sequence += 1
        data = b"lost"
        stamp = Stamp(self.now, 0)
        self.fanout.show(Picture(self.sequence, stamp, 1, 1, data, is_placeholder=True), data)

    def _make(self, raw: Raw, recipe: Recipe) -> Made:
        self.jpegs.append(recipe)
        data = bytes(_size(recipe, JPEG_BYTES))
        return _picture(raw, data, Format.JPEG, True, 0, 0), data


class FarEyes:
    """A viewer behind a link of a given rate and round trip."""

    def __init__(self, bench: VideoBench, bytes_per_s: float, round_trip_s: float) -> None:
        self.eyes = bench.eyes(window=0)
        self.eyes.viewer.opened_acknowledged(round_trip_s)
        self._bench = bench
        self._bytes_per_s = bytes_per_s
        self._half_s = round_trip_s / 2
        self._free_at = 0.0
        self._on_the_way: list[tuple[float, Picture]] = []
        self._acknowledged: list[tuple[float, int]] = []
        self._arrived: list[tuple[float, float]] = []

    def step(self) -> None:
        """Let arrive what is due."""
        now, viewer = self._bench.now, self.eyes.viewer
        while self._free_at <= now and (picture := self.eyes.take()):
            self._free_at = max(self._free_at, now) + len(picture.data) / self._bytes_per_s
            self._on_the_way.append((self._free_at + self._half_s, picture))
        while self._on_the_way and self._on_the_way[0][0] <= now:
            at, picture = self._on_the_way.pop(0)
            self._arrived.append((at, at - picture.captured.wall_s))
            self._acknowledged.append((at + self._half_s, picture.sequence))
        while self._acknowledged and self._acknowledged[0][0] <= now:
            viewer.acknowledged(self._acknowledged.pop(0)[1])
            self._bench.fanout.serve((viewer,))
            self._bench.executor.run_all()

    def oldest_s(self, since: float) -> float:
        """The greatest age at arrival."""
        return max(age for at, age in self._arrived if at >= since)

    def fps(self, since: float) -> float:
        return sum(at >= since for at, _ in self._arrived) / (self._bench.now - since)


def run_far(bench: VideoBench, seconds: int, far: list[FarEyes]) -> None:
    """Let time go on in milliseconds."""
    for tick in range(seconds * 1000):
        bench.now = tick / 1000
        if tick * FPS // 1000 > (tick - 1) * FPS // 1000:
            bench.capture_now()
            bench.executor.run_all()
        for each in far:
            each.step()


def _size(recipe: Recipe, whole: int) -> int:
    """Return how long a picture is, by its area and quality."""
    part = (recipe.width or WIDTH) / WIDTH
    return int(whole * part**1.7 * (0.25 + 0.75 * (recipe.quality or 80) / 80))


def _picture(
    raw: Raw, data: bytes, encoding: Format, is_key: bool, stream: int, index: int
) -> Picture:
    return Picture(
        raw.sequence,
        raw.captured,
        raw.width,
        raw.height,
        data,
        encoding,
        is_key=is_key,
        stream=stream,
        index=index,
    )
