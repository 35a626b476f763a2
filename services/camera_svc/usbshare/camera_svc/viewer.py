"""One viewer: what it wants, what its window has room for, and what became of every frame."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from usbshare.camera_svc.adaptation import Adaptation
from usbshare.camera_svc.frame import Format, Picture, Recipe
from usbshare.common.profiles import Priority

MOST_WINDOW = 3
DEFAULT_QUALITY = 80
# How much sooner than its time a frame may go: captures do not come evenly.
_EARLY_S = 0.004
_WIDTH_STEP = 16
_SPARE_S = 0.01


@dataclass(frozen=True, slots=True)
class View:
    """What a viewer asks for; zeroes leave the choice to the service."""

    width: int = 0
    fps: float = 0.0
    quality: int = 0
    format: Format = Format.JPEG
    priority: Priority = Priority.NORMAL
    is_fixed: bool = False


@dataclass(slots=True)
class ViewerCounters:
    """What became of the camera's frames; a frame that was not sent has one cause."""

    sent_frames: int = 0
    sent_bytes: int = 0
    dropped_window: int = 0
    dropped_rate: int = 0
    dropped_encoder: int = 0
    acknowledged: int = 0
    acknowledge_sum_s: float = 0.0
    acknowledge_longest_s: float = 0.0


@dataclass(slots=True)
class _Slot:
    """The newest frame that waits to be written."""

    picture: Picture | None = None
    message: bytes = b""


@dataclass(slots=True, eq=False)
class Viewer:
    """Pure bookkeeping; `wake` is called when there is something to write.

    `window`: frames that may be unacknowledged, 0 to follow the round trip.
    """

    view: View
    clock: Callable[[], float]
    wake: Callable[[], None]
    window: int = 0
    counters: ViewerCounters = field(default_factory=ViewerCounters)
    round_trip_s: float = 0.0
    _slot: _Slot = field(default_factory=_Slot)
    _adaptation: Adaptation = field(init=False)
    _sent: OrderedDict[int, tuple[int, float]] = field(default_factory=OrderedDict)
    _next_at: float = -math.inf
    _interval_s: float = 1 / 30
    _last_sequence: int = 0
    _dropped_since: int = 0
    _was_full: bool = False
    _was_early: bool = False

    def __post_init__(self) -> None:
        self._adaptation = Adaptation(self.clock)

    def camera_rate(self, fps: float) -> None:
        """Learn how often the camera delivers."""
        self._interval_s = 1 / max(fps, 0.1)

    @property
    def allowed(self) -> int:
        """Frames that may be unacknowledged now."""
        if self.window:
            return min(self.window, MOST_WINDOW)
        interval_s = max(self._interval_s, 1 / self.view.fps if self.view.fps else 0.0)
        return max(1, min(MOST_WINDOW, math.ceil((self.round_trip_s + _SPARE_S) / interval_s)))

    @property
    def has_room(self) -> bool:
        """Whether another frame may be on its way."""
        return len(self._sent) + self.has_waiting < self.allowed

    @property
    def has_waiting(self) -> bool:
        """Whether `take` has a frame."""
        return self._slot.picture is not None

    @property
    def dropped_since(self) -> int:
        """Frames not sent since the last one, because the window was full."""
        return self._dropped_since

    def adjust(self, view: View) -> None:
        """Want something else from now on."""
        self.view = view
        self._next_at = -math.inf

    def wants(self, sequence: int) -> bool:
        """Tell whether the frame should be made for it now."""
        self._was_full = not self.has_room
        self._was_early = self.clock() < self._next_at
        return sequence > self._last_sequence and not (self._was_full or self._was_early)

    def passed_over(self, sequence: int) -> None:
        """Learn that a newer frame has come before this one was made; counts the last cause."""
        if sequence <= self._last_sequence:
            return
        if self._was_full:
            self.counters.dropped_window += 1
            self._dropped_since += 1
        elif self._was_early:
            self.counters.dropped_rate += 1
        else:
            self.counters.dropped_encoder += 1

    def recipe(self, native_width: int) -> Recipe:
        """Return what to make for it from a frame of that width."""
        asked = min(self.view.width or native_width, native_width)
        if self.view.is_fixed:
            return Recipe(_recipe_width(asked, native_width), self.view.quality, self.view.format)
        level = self._adaptation.level
        width = (
            asked if level.width == 1 else round(asked * level.width / _WIDTH_STEP) * _WIDTH_STEP
        )
        quality = self.view.quality
        if level.quality < 1:
            quality = max(10, round((quality or DEFAULT_QUALITY) * level.quality))
        return Recipe(_recipe_width(width, native_width), quality, self.view.format)

    def offer(self, picture: Picture, message: bytes) -> bool:
        """Put a frame into its slot; False if it is too big for its link or nothing newer."""
        if picture.sequence <= self._last_sequence:
            return False
        if not self.view.is_fixed and self._adaptation.is_too_big(len(message)):
            return False
        self._last_sequence = picture.sequence
        if self.has_waiting:  # its place is taken before it was written
            self.counters.dropped_window += 1
            self._dropped_since += 1
        self._slot.picture, self._slot.message = picture, message
        self._schedule()
        self.wake()
        return True

    def take(self) -> tuple[Picture, bytes] | None:
        """Take what waits to be written, if anything does; from then on it is unacknowledged."""
        picture, message = self._slot.picture, self._slot.message
        if picture is None:
            return None
        self._slot.picture, self._slot.message = None, b""
        self._sent[picture.sequence] = (len(message), self.clock())
        self.counters.sent_frames += 1
        self.counters.sent_bytes += len(message)
        self._dropped_since = 0
        return picture, message

    def opened_acknowledged(self, took_s: float) -> None:
        """Learn the round trip of an empty message."""
        self.round_trip_s = took_s

    def acknowledged(self, sequence: int) -> bool:
        """Learn that a frame, and those before it, arrived; False if it was not on its way."""
        if sequence not in self._sent:
            return False
        now = self.clock()
        while self._sent:
            sent, (size, at) = self._sent.popitem(last=False)
            self._count_acknowledged(now - at)
            if sent == sequence:
                self._adaptation.delivered(size, now - at - self.round_trip_s)
                break
        return True

    def _count_acknowledged(self, took_s: float) -> None:
        counters = self.counters
        counters.acknowledged += 1
        counters.acknowledge_sum_s += took_s
        counters.acknowledge_longest_s = max(counters.acknowledge_longest_s, took_s)

    def _schedule(self) -> None:
        if not self.view.fps:
            return
        now, interval_s = self.clock(), 1 / self.view.fps
        # On a grid, so that 10 of 30 frames are every third, and 25 of 30 are 25.
        due = self._next_at + _EARLY_S
        self._next_at = (due if due > now - interval_s else now) + interval_s - _EARLY_S


def _recipe_width(width: int, native_width: int) -> int:
    return 0 if width >= native_width else width
