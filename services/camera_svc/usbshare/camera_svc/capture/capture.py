"""Owns a source by one thread: opens, reads, checks, hands over the newest frame, closes."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from usbshare.base.errors import DeviceError, UsbshareError
from usbshare.base.waits import set_within
from usbshare.camera_svc.capture.frame_source import Captured, Opened, Source, SourceMaker
from usbshare.camera_svc.picture.frame import Raw, Stamp
from usbshare.camera_svc.picture.jpeg import BadPictureError, check_size, complete, outline_of

_log = logging.getLogger(__name__)

# A driver's time is believed if it is that young: some count from another zero.
_OLDEST_DRIVER_TIME_NS = 2_000_000_000
# A source that returns garbage without blocking must not take the processor.
_AFTER_BAD_S = 0.01


class CaptureListener(Protocol):
    """Receives the events of one capture, on the event loop, until its `stop` returned."""

    def opened(self, opened: Opened, source: Source) -> None:
        """Take note of what the source is; there is no frame yet."""

    def captured(self, raw: Raw) -> None:
        """Take the newest frame; those that came while the loop was busy are left out."""

    def bad_picture(self, reason: str) -> None:
        """Take note that a frame was no picture; the next may be one."""

    def ended(self, reason: str) -> None:
        """Take note, last of all, that it could not be opened or delivers no more."""


@dataclass(slots=True)
class CaptureCounters:
    """Counts over all captures of one camera."""

    captured: int = 0
    bad: int = 0
    replaced: int = 0
    abandoned: int = 0


class Abandoned:
    """The capture threads of one camera that hang in its driver."""

    def __init__(self, most: int = 2) -> None:
        self._most = most
        self._threads: list[threading.Thread] = []

    def add(self, thread: threading.Thread) -> None:
        """Remember a thread until it ends."""
        self._threads.append(thread)

    def alive(self) -> int:
        """Return how many still hang."""
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        return len(self._threads)

    def require_room(self) -> None:
        """Raise DeviceError while as many hang as may: more would only pile up."""
        if (hanging := self.alive()) >= self._most:
            raise DeviceError(f"the driver hangs: {hanging} attempts are still waiting for it")


def now() -> Stamp:
    """Return the time on both clocks."""
    return Stamp(time.time(), time.monotonic_ns())


class CaptureThread:
    """Runs one source from opening to its end; `start` once, then `stop`.

    `next_sequence` is called for each good frame, on the thread. One slot leads to the loop: a
    frame that the loop has not taken when the next one comes is replaced and counted.
    """

    def __init__(
        self,
        name: str,
        make_source: SourceMaker,
        listener: CaptureListener,
        next_sequence: Callable[[], int],
        counters: CaptureCounters,
        abandoned: Abandoned,
    ) -> None:
        self._name = name
        self._make_source = make_source
        self._listener = listener
        self._next_sequence = next_sequence
        self._counters = counters
        self._abandoned = abandoned
        self._thread: threading.Thread | None = None
        self._is_stopping = threading.Event()
        self._has_ended = asyncio.Event()
        self._lock = threading.Lock()
        self._slot: Raw | None = None
        self._bad: str | None = None
        self._loop: asyncio.AbstractEventLoop

    def start(self) -> None:
        """Begin, on the running loop; raises DeviceError while too many hang in the driver."""
        self._abandoned.require_room()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name=f"capture {self._name}", daemon=True)
        self._thread.start()

    async def stop(self, timeout_s: float = 1.0) -> None:
        """End; the listener hears nothing from the call on.

        A thread that its driver does not let go in time is left behind and closes the source
        itself, whenever that is.
        """
        self._is_stopping.set()
        if self._thread is None:
            return
        try:
            await set_within(self._has_ended, timeout_s)
        finally:
            self._leave_behind(self._thread)

    def _leave_behind(self, thread: threading.Thread) -> None:
        if self._has_ended.is_set() or not thread.is_alive():
            return
        self._counters.abandoned += 1
        self._abandoned.add(thread)
        _log.warning("camera %s: its driver hangs; abandoned a thread in it", self._name)

    def _run(self) -> None:
        source: Source | None = None
        reason = "stopped"
        try:
            source = self._make_source()
            self._post(self._listener.opened, source.open(), source)
            self._read_on(source)
        except UsbshareError as error:
            reason = str(error)
        except Exception as error:  # a driver's or a codec's; it must not end the process
            # Retried every second; the listener logs the reason once.
            _log.debug("camera %s: capture failed", self._name, exc_info=True)
            reason = f"capture failed: {type(error).__name__}: {error}"
        finally:
            self._close(source)
            self._post(self._listener.ended, reason)
            self._to_loop(self._has_ended.set)

    def _read_on(self, source: Source) -> None:
        size: tuple[int, int] | None = None
        while not self._is_stopping.is_set():
            try:
                raw = self._raw(source.read())
            except BadPictureError as error:
                self._say_bad(str(error))
                continue
            if raw is None:
                return
            size = self._say_size(size, (raw.width, raw.height))
            self._put(raw)

    def _raw(self, captured: Captured) -> Raw | None:
        stamp = _stamp(captured, now())
        width, height, jpeg = _checked(captured)
        if self._is_stopping.is_set():
            return None  # a thread left behind must not take a sequence from its successor
        self._counters.captured += 1
        return Raw(self._next_sequence(), stamp, width, height, captured.pixels, jpeg)

    def _say_size(self, before: tuple[int, int] | None, size: tuple[int, int]) -> tuple[int, int]:
        if size != before:
            _log.info("camera %s: pictures are %dx%d", self._name, *size)
        return size

    def _say_bad(self, reason: str) -> None:
        self._counters.bad += 1
        with self._lock:
            is_waiting, self._bad = self._bad is not None, reason
        if not is_waiting:
            self._post(self._take_bad)
        self._is_stopping.wait(_AFTER_BAD_S)

    def _take_bad(self) -> None:
        with self._lock:
            reason, self._bad = self._bad, None
        if reason is not None:
            self._listener.bad_picture(reason)

    def _put(self, raw: Raw) -> None:
        with self._lock:
            is_waiting, self._slot = self._slot is not None, raw
        if is_waiting:
            self._counters.replaced += 1
        else:
            self._post(self._take)

    def _take(self) -> None:
        with self._lock:
            raw, self._slot = self._slot, None
        if raw is not None:
            self._listener.captured(raw)

    def _close(self, source: Source | None) -> None:
        try:
            if source is not None:
                source.close()
        except Exception:  # whatever the driver raises, the thread ends in order
            _log.exception("camera %s: could not close it", self._name)

    def _post(self, callback: Callable[..., None], *args: object) -> None:
        self._to_loop(self._call_unless_stopped, callback, *args)

    def _call_unless_stopped(self, callback: Callable[..., None], *args: object) -> None:
        if not self._is_stopping.is_set():
            callback(*args)

    def _to_loop(self, callback: Callable[..., object], *args: object) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:  # the loop has ended before a thread that hung
            _log.debug("camera %s: nobody is left to hear of it", self._name)


def _checked(captured: Captured) -> tuple[int, int, bytes | None]:
    if captured.jpeg is not None:
        outline = outline_of(captured.jpeg)
        return outline.width, outline.height, complete(captured.jpeg, outline)
    if captured.pixels is None:
        raise BadPictureError("the picture is empty")
    shape = captured.pixels.shape
    if len(shape) != 3 or shape[2] != 3 or str(captured.pixels.dtype) != "uint8":
        raise BadPictureError(f"the picture is {captured.pixels.dtype}{shape}, not BGR pixels")
    check_size(shape[1], shape[0])
    return shape[1], shape[0], None


def _stamp(captured: Captured, arrived: Stamp) -> Stamp:
    driver_ns = captured.monotonic_ns
    if driver_ns is None or not 0 <= arrived.monotonic_ns - driver_ns < _OLDEST_DRIVER_TIME_NS:
        return arrived
    age_s = (arrived.monotonic_ns - driver_ns) / 1e9
    return Stamp(arrived.wall_s - age_s, driver_ns)
