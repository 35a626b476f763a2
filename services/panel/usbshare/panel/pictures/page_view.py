"""One view of a camera for one page, which gets the frames as they come and acknowledges them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace

from usbshare.base.backoff import Backoff
from usbshare.base.errors import NotSupportedError, UsbshareError
from usbshare.client.camera.client import CameraClient, WatchStream
from usbshare.client.camera.kept_view import KeptView, OpenAgainError, ViewChoice
from usbshare.client.camera.messages import (
    CameraEvent,
    Event,
    Format,
    Frame,
    HostReport,
    OpenedEvent,
    RemoteCamera,
    View,
)
from usbshare.client.connection_limiter import Turns
from usbshare.panel.pictures.outbox import Outbox
from usbshare.panel.pictures.wire import ViewNews
from usbshare.panel.pictures.wish import PictureWish

_JPEG_START = b"\xff\xd8"
_MOST_SENT = 16


class PageView:
    """Passes on frames; the page's acknowledgements reach the service, whose window bounds all."""

    def __init__(
        self,
        connect: Callable[[], CameraClient],
        turns: Turns,
        wish: PictureWish,
        client_name: str,
        outbox: Outbox,
        backoff: Backoff,
        clock: Callable[[], float],
        gives_up: Callable[[UsbshareError], bool],
    ) -> None:
        encoding = Format.H264 if wish.takes_h264 else Format.JPEG
        view = View(width=wish.width, fps=wish.fps, format=encoding)
        choice = ViewChoice(wish.camera, view, client_name)
        self._wish = wish
        self._outbox = outbox
        self._clock = clock
        self._gives_up = gives_up
        self._kept = KeptView(connect, turns, choice, self, backoff, clock, self._is_final)
        self._stream: WatchStream | None = None
        self._sent: deque[int] = deque(maxlen=_MOST_SENT)
        self._last_sequence = -1
        self._camera: RemoteCamera | None = None
        self._wants_key = False
        self._given_fps = 0.0

    async def run(self) -> None:
        """View until cancelled; raises what `gives_up` says not to try again."""
        while True:
            try:
                await self._kept.run()
            except NotSupportedError:
                choice = self._kept.choice
                if choice.view.format is Format.JPEG:
                    raise
                self._kept.choice = replace(choice, view=replace(choice.view, format=Format.JPEG))

    async def acknowledged(self, sequence: int) -> None:
        """Let the service know that the page has this frame and those before it."""
        if sequence not in self._sent or self._stream is None:
            return
        while self._sent and self._sent.popleft() != sequence:
            pass
        await self._stream.acknowledge(sequence)

    def wants_key_frame(self) -> None:
        """Begin a new stream at the next frame: the page cannot decode what follows."""
        self._wants_key = True

    # What the stream brings.

    @property
    def slowest_s(self) -> float:
        """How many seconds one frame may take, at the requested or actual rate."""
        rates = [rate for rate in (self._wish.fps, self._given_fps) if rate > 0]
        return 1 / min(rates) if rates else 0.0

    @property
    def is_behind(self) -> bool:
        """Whether the page has frames that it has not acknowledged."""
        return bool(self._sent)

    def opened(self, opened: OpenedEvent) -> None:
        """Begin with a new stream."""
        self._outbox.begin_stream()
        self._sent.clear()
        self._last_sequence = -1
        self._wants_key = False
        self._camera = opened.camera
        self._tell_camera()

    async def took(self, event: Event | None, stream: WatchStream) -> None:
        """Pass on a picture, or how the camera is."""
        self._stream = stream
        if isinstance(event, Frame):
            await self._take_frame(event, stream)
        elif isinstance(event, CameraEvent):
            self._camera = event.camera
            self._tell_camera()

    def host_reported(self, report: HostReport) -> None:
        """Need nothing of it: the clock of the kept view has the time."""

    def closed(self) -> None:
        """Acknowledge nothing more on this stream."""
        self._stream = None
        self._sent.clear()

    def ended(self, reason: str) -> None:
        """Say at once that there is no picture."""
        self._tell("lost", reason)

    def lost(self, reason: str) -> None:
        """Say why there is none."""
        self._tell("lost", reason)

    async def _take_frame(self, frame: Frame, stream: WatchStream) -> None:
        if self._wants_key and not _stands_alone(frame):
            raise OpenAgainError
        if why := self._why_unusable(frame):
            await stream.acknowledge(frame.sequence)
            self._tell("no_picture", why)
            return
        self._wants_key = False
        self._last_sequence, self._given_fps = frame.sequence, frame.given_fps
        now = self._clock()
        age_s = self._kept.host_clock.age_s(frame.captured_s, frame.send_s, now)
        if not self._outbox.put(frame, age_s):
            raise OpenAgainError
        self._sent.append(frame.sequence)
        if frame.is_placeholder:
            self._tell("no_picture", self._camera.why_no_picture if self._camera else "")
        else:
            self._kept.came()
            self._tell("live")

    def _why_unusable(self, frame: Frame) -> str:
        if frame.sequence <= self._last_sequence:
            return "the service sent an older picture"
        if frame.format is Format.H264:
            is_asked = self._kept.choice.view.format is Format.H264
            return "" if is_asked else "the service sent H.264, which was not requested"
        is_jpeg = frame.data.startswith(_JPEG_START)
        return "" if is_jpeg else "the service sent data that is not a picture"

    def _is_final(self, error: UsbshareError) -> bool:
        return isinstance(error, NotSupportedError) or self._gives_up(error)

    def _tell_camera(self) -> None:
        why = self._camera.why_no_picture if self._camera else ""
        self._tell("no_picture" if why else "connecting", why)

    def _tell(self, state: str, reason: str = "") -> None:
        camera = self._camera
        identity, name = (camera.id, camera.name) if camera else (self._wish.camera, "")
        self._outbox.tell(ViewNews(state, reason, identity, name))


def _stands_alone(frame: Frame) -> bool:
    return frame.is_key or frame.format is Format.JPEG
