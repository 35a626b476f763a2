"""Keeps one view of a camera alive: connects, takes what comes, and connects again."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from usbshare.base.errors import (
    ConnectionRefusedByPeerError,
    PermissionDeniedError,
    UsbshareError,
)
from usbshare.base.threads import in_thread
from usbshare.bridge.camera.h264 import H264Decoder
from usbshare.bridge.camera.host_clock import HostClock
from usbshare.bridge.camera.latest_frame import Newest
from usbshare.bridge.camera.stream_stats import Measures
from usbshare.client.backoff import Backoff
from usbshare.client.camera.client import LOOK_TIMEOUT_S, CameraClient, WatchStream
from usbshare.client.camera.messages import (
    CameraEvent,
    CameraState,
    Event,
    Format,
    Frame,
    OpenedEvent,
    RemoteCamera,
    View,
)
from usbshare.client.connection_limiter import Turns
from usbshare.rpc.status import RpcError, error_from_rpc, reason_of

log = logging.getLogger(__name__)

OPEN_TIMEOUT_S = 10.0
REASON_TIMEOUT_S = 1.0
SILENCE_S = 12.0  # a picture of 100 KB takes so long at 64 kbit/s, and nothing tells how far it is
SILENT_FRAMES = 3
LOOK_S = 2.0
FIRST_LOOKS, FIRST_LOOK_S = 5, 0.05  # the first answers of a connection are slow
_JPEG_START = b"\xff\xd8"


class ViewState(Enum):
    """How a view is."""

    CONNECTING = "connecting"
    LIVE = "live"
    NO_PICTURE = "no picture"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class ViewChoice:
    """What to watch; an empty camera is the service's only one."""

    camera_id: str
    view: View
    client_name: str


class ViewListener(Protocol):
    """Receives what happens to a view."""

    def view_stands(self, camera: RemoteCamera) -> None:
        """Note that a stream is established."""

    def view_lost(self, reason: str) -> None:
        """Note that there is none, and why; it is tried again."""

    def camera_changed(self, camera: RemoteCamera) -> None:
        """Note how the camera is."""


class ViewLostError(UsbshareError):
    """The stream is gone; the text says why."""


class Viewing:
    """One stream after another of one camera. `run` is its only task.

    Whatever the service sends, the newest usable frame is shown; each is acknowledged, at once.
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
    ) -> None:
        self.state = ViewState.CONNECTING
        self.reason = ""
        self.camera: RemoteCamera | None = None
        self.window = 0
        self.heard_at = 0.0
        self.given_fps = 0.0
        self.host_clock = HostClock()
        self.stands = asyncio.Event()
        self._connect = connect
        self._turns = turns
        self._choice = choice
        self._newest = newest
        self._measures = measures
        self._listener = listener
        self._backoff = backoff
        self._clock = clock
        self._last_sequence = -1
        self._woken = asyncio.Event()
        self._decoder = H264Decoder()

    async def run(self) -> None:
        """View until cancelled; raises why a first attempt fails, and that we may no longer.

        Other failures are tried again.
        """
        self.heard_at = self._clock()
        while True:
            try:
                await self._view_once()
            except UsbshareError as error:
                if not self.stands.is_set() or isinstance(error, PermissionDeniedError):
                    raise
                self._lost(str(error))
            await self._pause()

    def retry_now(self) -> None:
        """Let the next attempt to connect come at once."""
        self._woken.set()

    def fell_silent(self, reason: str) -> None:
        """Note that an established stream was silent for too long."""
        if self.state in {ViewState.CONNECTING, ViewState.LIVE}:
            self._no_picture(reason)

    @property
    def slowest_s(self) -> float:
        """How long one frame may take, by the rate that is asked for or given."""
        rates = [rate for rate in (self._choice.view.fps, self.given_fps) if rate > 0]
        return 1 / min(rates) if rates else 0.0

    async def _view_once(self) -> None:
        client = await self._connected()
        try:
            stream = await self._open(client)
            await self._take_all(client, stream)
        except RpcError as error:
            self._ended(reason_of(error))
            if not isinstance(error_from_rpc(error), ConnectionRefusedByPeerError):
                raise await client.explain(error) from error
            await client.close()
            async with self._turns.turn():
                raise await client.explain(error, self._reason_timeout_s) from error
        except EOFError as error:
            raise ViewLostError("the service ended the stream") from error
        finally:
            await client.close()

    async def _connected(self) -> CameraClient:
        """Return a client that is connected; raises why it cannot be."""
        async with self._turns.turn():
            client = self._connect()
            try:
                await client.connect()
            except ConnectionRefusedByPeerError as error:
                self._ended(str(error))
                await client.close()
                why = await client.why_unreachable(self._reason_timeout_s)
                raise ConnectionRefusedByPeerError(why or str(error)) from error
            except BaseException:
                await client.close()
                raise
        return client

    @property
    def _reason_timeout_s(self) -> float:
        return REASON_TIMEOUT_S if self.stands.is_set() else LOOK_TIMEOUT_S

    async def _open(self, client: CameraClient) -> WatchStream:
        choice = self._choice
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                stream = await client.watch(choice.camera_id, choice.view, choice.client_name)
                opened = await stream.receive()
        except TimeoutError as error:
            raise ConnectionRefusedByPeerError(f"{client.target} does not answer") from error
        if not isinstance(opened, OpenedEvent):
            raise ViewLostError(f"the service's first message was {type(opened).__name__}")
        await stream.acknowledge(0)
        self._begin(opened)
        return stream

    def _begin(self, opened: OpenedEvent) -> None:
        self.window = opened.window
        self._last_sequence = -1
        self._decoder = H264Decoder()
        self.given_fps = 0.0
        self.heard_at = self._clock()
        self.host_clock.forget()
        self._woken.clear()
        self.state, self.reason = ViewState.CONNECTING, ""
        self._note(opened.camera)
        self.stands.set()
        self._listener.view_stands(opened.camera)

    async def _take_all(self, client: CameraClient, stream: WatchStream) -> None:
        looking = asyncio.create_task(self._look_at_host(client), name="host clock")
        try:
            while True:
                await self._take_one(stream)
        finally:
            self._measures.stream_ended()
            looking.cancel()
            stream.cancel()
            await asyncio.gather(looking, return_exceptions=True)

    async def _take_one(self, stream: WatchStream) -> None:
        silence_s = max(SILENCE_S, SILENT_FRAMES * self.slowest_s)
        try:
            async with asyncio.timeout(silence_s):
                event = await stream.receive()
        except TimeoutError as error:
            raise ViewLostError(f"no picture arrived for {silence_s:g} s") from error
        if isinstance(event, Frame):
            await stream.acknowledge(event.sequence)
            event = await self._as_jpeg(event)
        self._take(event)

    async def _as_jpeg(self, frame: Frame) -> Frame:
        """Decode H.264 that was asked for; what cannot be decoded ends the stream."""
        if frame.format is self._choice.view.format is Format.H264:
            return await in_thread(self._decoder.decode, frame)
        return frame

    def _take(self, event: Event | None) -> None:
        if isinstance(event, Frame):
            self._take_frame(event)
        elif isinstance(event, CameraEvent):
            self._note(event.camera)
            self._listener.camera_changed(event.camera)

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
            self._backoff.reset()
            self.state, self.reason = ViewState.LIVE, ""

    def _note(self, camera: RemoteCamera) -> None:
        self.camera = camera
        if camera.state is not CameraState.LIVE:
            self._no_picture(self._camera_reason())

    def _camera_reason(self) -> str:
        camera = self.camera
        if camera is None or camera.state is CameraState.LIVE:
            return ""
        return camera.reason or f"the camera is {camera.state.value}"

    def _no_picture(self, reason: str) -> None:
        self.state, self.reason = ViewState.NO_PICTURE, reason

    def _ended(self, reason: str) -> None:
        """Say at once that the stream is gone; to find out why takes a while."""
        self.state, self.reason = ViewState.LOST, reason

    def _lost(self, reason: str) -> None:
        self._ended(reason)
        self._measures.reconnections += 1
        self._listener.view_lost(reason)

    async def _pause(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._backoff.next_s()):
                await self._woken.wait()
        self._woken.clear()

    async def _look_at_host(self, client: CameraClient) -> None:
        """Ask for the host's time, often at first; without an answer the ages are less accurate."""
        for look in itertools.count(1):
            try:
                choice = self._choice
                report = await client.host_report(choice.camera_id, choice.client_name)
            except UsbshareError as error:
                log.debug("the host's time is not known: %s", error)
            else:
                self.host_clock.answered(report.time_s, report.round_trip_s, self._clock())
                if report.drops is not None:
                    self._measures.service_counts(report.drops)
            await asyncio.sleep(LOOK_S if look >= FIRST_LOOKS else FIRST_LOOK_S)


def _why_unusable(frame: Frame) -> str:
    if frame.format is not Format.JPEG:
        return f"the service sent {frame.format.value}, which was not requested"
    if not frame.data.startswith(_JPEG_START):
        return "the service sent data that is not a picture"
    return ""
