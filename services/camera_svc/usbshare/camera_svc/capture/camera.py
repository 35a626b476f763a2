"""One camera: opened for its viewers, watched while it delivers, tried again when it does not."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Protocol

from usbshare.base.errors import DeviceError, UsbshareError
from usbshare.camera_svc.capture.driver_calls import DriverCalls
from usbshare.camera_svc.capture.frame_source import Control, ControlChange, Mode, Opened, Source
from usbshare.camera_svc.picture.frame import Raw
from usbshare.camera_svc.viewers.fanout import Fanout, Made
from usbshare.camera_svc.viewers.viewer import Viewer

log = logging.getLogger(__name__)

SILENT_S = 1.5
RETRY_S = 1.0
PLACEHOLDER_S = 1.0
HANGING_S = 10.0
ENDING_S = 0.02
CONTROL_TIMEOUT_S = 5.0
_LOGIN = re.compile(r"//[^/?#]*@")


class CameraState(Enum):
    """The state of a camera."""

    CLOSED = "closed"
    OPENING = "opening"
    LIVE = "live"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class CameraConfig:
    """What a camera is configured to be; `linger_s`: open for that long after its last viewer."""

    id: str
    name: str
    source: str
    always_on: bool = False
    linger_s: float = 10.0
    locks: tuple[ControlChange, ...] = ()

    @property
    def shown_source(self) -> str:
        """The source without a password, for people who may watch but need not know it."""
        return _LOGIN.sub("//", self.source)


class Capture(Protocol):
    """One attempt to capture; see `capture.CaptureThread`."""

    def start(self) -> None:
        """Begin."""

    async def stop(self) -> None:
        """End; the listener is not called any more."""


MakeCapture = Callable[["Camera"], Capture]
# From the reason and the last good frame to the picture that says so.
MakePlaceholder = Callable[[str, Raw | None], Made]


class Camera:
    """Runs on the event loop; listens to its capture, and reports its state to `changed`."""

    def __init__(
        self,
        config: CameraConfig,
        make_capture: MakeCapture,
        fanout: Fanout,
        make_placeholder: MakePlaceholder,
        changed: Callable[[Camera], None],
    ) -> None:
        self.config = config
        self.fanout = fanout
        self.state = CameraState.CLOSED
        self.reason = ""
        self.losses = 0
        self.last_good: Raw | None = None
        self._unmade: tuple[str, Raw | None] | None = None
        self.modes: tuple[Mode, ...] = ()
        self.known_controls: tuple[Control, ...] = ()
        self._make_capture = make_capture
        self._make_placeholder = make_placeholder
        self._changed = changed
        self._capture: Capture | None = None
        self._source: Source | None = None
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._driver = DriverCalls(config.id, CONTROL_TIMEOUT_S)
        self._ending: set[asyncio.Task[None]] = set()
        self._locking: set[asyncio.Task[None]] = set()

    @property
    def id(self) -> str:
        """The stable id."""
        return self.config.id

    @property
    def fps(self) -> float:
        """How many frames a second it delivers."""
        return self.modes[0].fps if self.modes and self.modes[0].fps else 30.0

    @property
    def is_capturing(self) -> bool:
        """Whether it is being opened or read, and so may deliver a picture yet."""
        return self._capture is not None

    # Viewers.

    def join(self, viewer: Viewer) -> None:
        """Serve a viewer; opens the camera for the first one."""
        self._cancel("linger")
        viewer.camera_rate(self.fps)
        self.fanout.join(viewer)
        if self.state is CameraState.CLOSED:
            self.open()
        elif self.state is CameraState.LOST:
            self._show_placeholder()

    def leave(self, viewer: Viewer) -> None:
        """Serve it no longer; the camera is closed some time after the last one left."""
        self.fanout.leave(viewer)
        if not self.fanout.viewers and not self.config.always_on:
            self._after("linger", self.config.linger_s, self._close_if_unwatched)

    # Its life.

    def open(self) -> None:
        """Begin to capture."""
        self._enter(CameraState.OPENING, "")
        self._begin()

    async def close(self) -> None:
        """End permanently; bounded, whatever the driver does."""
        self._enter(CameraState.CLOSED, "")
        self._end_capture()
        for name in list(self._timers):
            self._cancel(name)
        for task in self._locking:
            task.cancel()
        await asyncio.gather(*self._ending, *self._locking, return_exceptions=True)

    def _begin(self) -> None:
        if self._ending:  # the capture before has the device still
            self._after("retry", ENDING_S, self._begin)
            return
        capture = self._make_capture(self)
        try:
            capture.start()
        except DeviceError as error:
            self.ended(str(error))
            return
        self._capture = capture
        self._after("silent", SILENT_S, self._silent)

    def _close_if_unwatched(self) -> None:
        if not self.fanout.viewers:
            self._cancel("silent", "retry", "placeholder", "hanging")
            self._end_capture()
            self._enter(CameraState.CLOSED, "")

    def _end_capture(self) -> None:
        capture, self._capture, self._source = self._capture, None, None
        self.fanout.forget()
        if capture is None:
            return
        task = asyncio.create_task(capture.stop(), name=f"end capture {self.id}")
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    # Events of its capture.

    def opened(self, opened: Opened, source: Source) -> None:
        """Note what the source is; locked controls are set again."""
        self._source = source
        self.modes, self.known_controls = opened.modes or self.modes, opened.controls
        for viewer in self.fanout.viewers:
            viewer.camera_rate(self.fps)
        if self.config.locks:
            task = asyncio.create_task(self._lock_controls(), name=f"locks {self.id}")
            self._locking.add(task)
            task.add_done_callback(self._locking.discard)

    def captured(self, raw: Raw) -> None:
        """Pass a good frame on to the viewers."""
        self.last_good = raw
        self._cancel("retry", "placeholder", "hanging")
        self._after("silent", SILENT_S, self._silent)
        self.reason = ""
        if self.state is not CameraState.LIVE:
            if self.state is CameraState.LOST:
                log.info("camera '%s' delivers pictures again", self.id)
            self._enter(CameraState.LIVE, "")
        self.fanout.captured(raw)

    def bad_picture(self, reason: str) -> None:
        """Note that a frame was none; if no good one follows, this is why."""
        self.reason = reason

    def not_made(self, reason: str) -> None:
        """Note that a good frame could not be encoded for some viewers; they are told why."""
        self.reason = reason
        if self._unmade is None:
            self._unmade = reason, self.last_good
            self._after("unmade", SILENT_S, self._say_unmade)

    def ended(self, reason: str) -> None:
        """Note that the capture is over: it is tried again."""
        self._capture = self._source = None
        self._cancel("silent", "hanging")
        if self.state is CameraState.CLOSED:
            return
        self._lose(reason.replace(self.config.source, self.config.shown_source))
        self._after("retry", RETRY_S, self._begin)

    def withdraw(self, reason: str) -> None:
        """Let go of the device now; it is tried again, as after any loss."""
        if self._capture is not None:
            self._end_capture()
            self.ended(reason)

    def _silent(self) -> None:
        why = self.reason or f"the camera has delivered no picture for {SILENT_S:g} s"
        self._lose(why)
        self._after("hanging", HANGING_S, self._give_up_capture)

    def _give_up_capture(self) -> None:
        self._end_capture()
        self._begin()

    def _say_unmade(self) -> None:
        if self._unmade is not None and self.fanout.unserved:
            log.warning("camera '%s': %s", self.id, self._unmade[0])
            self._show_unserved()
        else:
            self._unmade = None

    def _show_unserved(self) -> None:
        if self._unmade is None or not self.fanout.unserved:
            self._unmade = None
            return
        self.fanout.show_unserved(*self._make_placeholder(*self._unmade))
        self._after("unmade", PLACEHOLDER_S, self._show_unserved)

    def _lose(self, reason: str) -> None:
        if self.state is not CameraState.LOST:
            self.losses += 1
            log.warning("camera '%s': %s", self.id, reason)
            self._enter(CameraState.LOST, reason)
        elif reason != self.reason:
            self._enter(CameraState.LOST, reason)
        self.fanout.forget()
        self._show_placeholder()

    def _show_placeholder(self) -> None:
        if self.fanout.viewers:
            self.fanout.show(*self._make_placeholder(self.reason, self.last_good))
        self._after("placeholder", PLACEHOLDER_S, self._show_placeholder)

    # Controls.

    async def controls(self) -> tuple[Control, ...]:
        """Return the controls as they are; DeviceError while the camera is not open."""
        return await self._driver.call(self._require_source().controls)

    async def change_controls(self, changes: tuple[ControlChange, ...]) -> tuple[Control, ...]:
        """Make the changes in order; the first that cannot be made raises why."""
        source = self._require_source()
        for change in changes:
            await self._driver.call(partial(source.set_control, change))
        self.known_controls = await self.controls()
        return self.known_controls

    async def _lock_controls(self) -> None:
        for lock in self.config.locks:
            try:
                await self.change_controls((lock,))
            except UsbshareError as error:
                log.warning("camera '%s': could not set control %s: %s", self.id, lock.name, error)

    def _require_source(self) -> Source:
        if self._source is None:
            raise DeviceError(f"camera '{self.id}' is not open: watch it first")
        return self._source

    # Timers.

    def _enter(self, state: CameraState, reason: str) -> None:
        self.state, self.reason = state, reason
        self._changed(self)

    def _after(self, name: str, delay_s: float, call: Callable[[], None]) -> None:
        self._cancel(name)
        self._timers[name] = asyncio.get_running_loop().call_later(delay_s, call)

    def _cancel(self, *names: str) -> None:
        for name in names:
            with suppress(KeyError):
                self._timers.pop(name).cancel()
