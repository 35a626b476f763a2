"""The newest picture of one camera as JPEG, for programs on this computer, and its age."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from usbshare.base.backoff import Backoff
from usbshare.base.threads import in_thread
from usbshare.client.camera.client import CameraClient, WatchStream
from usbshare.client.camera.kept_view import KeptView, ViewChoice
from usbshare.client.camera.messages import (
    CameraEvent,
    CameraState,
    Event,
    Format,
    Frame,
    HostReport,
    OpenedEvent,
    RemoteCamera,
)
from usbshare.client.camera.picture_age import HostClock
from usbshare.client.camera.stream_stats import Measures
from usbshare.client.connection_limiter import Turns

_JPEG_START = b"\xff\xd8"


@dataclass(frozen=True, slots=True)
class Picture:
    """A frame as it was shown here; `number` counts all, `arrived_at` is on our monotonic clock."""

    number: int
    frame: Frame
    arrived_at: float
    age_at_arrival_s: float = 0.0

    def age_s(self, now: float) -> float:
        """Return how old it is now."""
        return self.age_at_arrival_s + now - self.arrived_at


class Newest:
    """Keeps one picture: a slow reader misses some and does not slow the others."""

    def __init__(self) -> None:
        self.picture: Picture | None = None
        self.last_good: Picture | None = None
        self._changed = asyncio.Event()

    def put(self, frame: Frame, now: float, age_s: float = 0.0) -> Picture:
        """Show a frame."""
        number = 1 + (self.picture.number if self.picture else 0)
        self.picture = Picture(number, frame, now, age_s)
        if not frame.is_placeholder:
            self.last_good = self.picture
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        return self.picture

    async def after(self, number: int) -> Picture:
        """Return the newest picture as soon as it is another one than that; 0 takes any."""
        while self.picture is None or self.picture.number <= number:
            await self._changed.wait()
        return self.picture


class ViewState(Enum):
    """How a view is."""

    CONNECTING = "connecting"
    LIVE = "live"
    NO_PICTURE = "no picture"
    LOST = "lost"


class ViewListener(Protocol):
    """Receives what happens to a view."""

    def view_stands(self, camera: RemoteCamera) -> None:
        """Note that a stream is established."""

    def view_lost(self, reason: str) -> None:
        """Note that there is none, and why; it is tried again."""

    def camera_changed(self, camera: RemoteCamera) -> None:
        """Note how the camera is."""


class Decoder(Protocol):
    """Decodes one stream of H.264, a frame at a time, in any thread."""

    def decode(self, frame: Frame) -> Frame:
        """Return the frame as JPEG; raises UsbshareError, after which the stream is of no use."""
        ...


class Viewing:
    """One stream after another of one camera. `run` is its only task.

    Whatever the service sends, the newest usable frame is shown; each is acknowledged, at once.
    `make_decoder` is needed where the choice is H.264.
    """

    def __init__(
        self,
        connect: Callable[[], CameraClient],
        turns: Turns,
        choice: ViewChoice,
        newest: Newest,
        measures: Measures,
        listener: ViewListener,
        backoff: Backoff,
        clock: Callable[[], float],
        make_decoder: Callable[[], Decoder] | None = None,
    ) -> None:
        self.state = ViewState.CONNECTING
        self.reason = ""
        self.camera: RemoteCamera | None = None
        self.window = 0
        self.heard_at = 0.0
        self.given_fps = 0.0
        self.is_behind = False  # each frame is acknowledged at once
        self._kept = KeptView(connect, turns, choice, self, backoff, clock)
        self._choice = choice
        self._newest = newest
        self._measures = measures
        self._listener = listener
        self._clock = clock
        self._last_sequence = -1
        self._make_decoder = make_decoder
        self._decoder: Decoder | None = None

    @property
    def stands(self) -> asyncio.Event:
        """Set once a first stream is established."""
        return self._kept.stands

    @property
    def host_clock(self) -> HostClock:
        """What is known of the host's clock."""
        return self._kept.host_clock

    async def run(self) -> None:
        """View until cancelled; raises why a first attempt fails, and that we may no longer.

        Other failures are tried again.
        """
        self.heard_at = self._clock()
        await self._kept.run()

    def retry_now(self) -> None:
        """Let the next attempt to connect come at once."""
        self._kept.retry_now()

    def fell_silent(self, reason: str) -> None:
        """Note that an established stream was silent for too long."""
        if self.state in {ViewState.CONNECTING, ViewState.LIVE}:
            self._no_picture(reason)

    @property
    def slowest_s(self) -> float:
        """How many seconds one frame may take, at the requested or actual rate."""
        rates = [rate for rate in (self._choice.view.fps, self.given_fps) if rate > 0]
        return 1 / min(rates) if rates else 0.0

    # What the stream brings.

    def opened(self, opened: OpenedEvent) -> None:
        """Begin with a new stream."""
        self.window = opened.window
        self._last_sequence = -1
        self._decoder = self._make_decoder() if self._make_decoder else None
        self.given_fps = 0.0
        self.heard_at = self._clock()
        self.state, self.reason = ViewState.CONNECTING, ""
        self._note(opened.camera)
        self._listener.view_stands(opened.camera)

    async def took(self, event: Event | None, stream: WatchStream) -> None:
        """Show a picture, or note how the camera is."""
        if isinstance(event, Frame):
            await stream.acknowledge(event.sequence)
            self._take_frame(await self._as_jpeg(event))
        elif isinstance(event, CameraEvent):
            self._note(event.camera)
            self._listener.camera_changed(event.camera)

    def host_reported(self, report: HostReport) -> None:
        """Take what the host counts of us."""
        if report.drops is not None:
            self._measures.service_counts(report.drops)

    def closed(self) -> None:
        """Keep what was counted for the stream."""
        self._measures.stream_ended()

    def ended(self, reason: str) -> None:
        """Say at once that the stream is gone."""
        self.state, self.reason = ViewState.LOST, reason

    def lost(self, reason: str) -> None:
        """Count a loss and tell of it."""
        self._measures.lost()
        self._listener.view_lost(reason)

    async def _as_jpeg(self, frame: Frame) -> Frame:
        """Decode H.264 that was asked for; what cannot be decoded ends the stream."""
        if self._decoder and frame.format is self._choice.view.format is Format.H264:
            return await in_thread(self._decoder.decode, frame)
        return frame

    def _take_frame(self, frame: Frame) -> None:
        self._measures.not_sent(frame.dropped)
        if why := _why_unusable(frame):
            self._measures.unusable()
            self._no_picture(why)
            return
        if frame.sequence <= self._last_sequence:
            self._measures.late()
            return
        self._last_sequence = frame.sequence
        self._show(frame)

    def _show(self, frame: Frame) -> None:
        now = self._clock()
        self.heard_at, self.given_fps = now, frame.given_fps
        age_s = self.host_clock.age_s(frame.captured_s, frame.send_s, now)
        self._measures.arrived(frame, age_s, now)
        self._newest.put(frame, now, age_s)
        if frame.is_placeholder:
            self._no_picture(self._camera_reason())
        else:
            self._kept.came()
            self.state, self.reason = ViewState.LIVE, ""

    def _note(self, camera: RemoteCamera) -> None:
        self.camera = camera
        if camera.state is not CameraState.LIVE:
            self._no_picture(self._camera_reason())

    def _camera_reason(self) -> str:
        return self.camera.why_no_picture if self.camera else ""

    def _no_picture(self, reason: str) -> None:
        self.state, self.reason = ViewState.NO_PICTURE, reason


def _why_unusable(frame: Frame) -> str:
    if frame.format is not Format.JPEG:
        return f"the service sent {frame.format.value}, which was not requested"
    if not frame.data.startswith(_JPEG_START):
        return "the service sent data that is not a picture"
    return ""
