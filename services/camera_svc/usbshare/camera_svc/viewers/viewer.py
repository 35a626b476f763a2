"""One viewer: what it wants, what its window has room for, and what became of every frame."""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from usbshare.camera_svc.picture.frame import Format, Picture, Recipe
from usbshare.camera_svc.viewers.adaptation import Adaptation
from usbshare.camera_svc.viewers.h264_position import Following
from usbshare.line.profiles import Priority

MOST_WINDOW = 3
DEFAULT_QUALITY = 80
# How much sooner than its time a frame may go: captures do not come evenly.
_EARLY_S = 0.004
_WIDTH_STEP = 16
_SPARE_S = 0.01
# So far a viewer may be behind others of its stream: about as long as a key frame may take.
_MOST_BEHIND = 8
_MOST_BEHIND_S = 0.25
_QUALITY_STEP = 10


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


@dataclass(slots=True, eq=False)
class Viewer:
    """Pure bookkeeping; `wake` is called when there is something to write.

    One frame waits to be written, the newest. Only of H.264, whose frames build on each other, a
    few may wait, while they are made for others too.

    `window`: frames that may be unacknowledged, 0 to follow the round trip.
    """

    view: View
    clock: Callable[[], float]
    wake: Callable[[], None]
    window: int = 0
    counters: ViewerCounters = field(default_factory=ViewerCounters)
    round_trip_s: float = 0.0
    _waiting: deque[tuple[Picture, bytes, float]] = field(default_factory=deque)
    _adaptation: Adaptation = field(init=False)
    _following: Following = field(init=False)
    _last_format: Format = Format.JPEG
    _sent: OrderedDict[int, tuple[int, float]] = field(default_factory=OrderedDict)
    _next_at: float = -math.inf
    _interval_s: float = 1 / 30
    _last_sequence: int = 0
    _dropped_since: int = 0
    _was_full: bool = False
    _was_early: bool = False

    def __post_init__(self) -> None:
        self._adaptation = Adaptation(self.clock)
        self._following = Following(self.clock)

    def camera_rate(self, fps: float) -> None:
        """Note how often the camera delivers."""
        self._interval_s = 1 / max(fps, 0.1)

    @property
    def allowed(self) -> int:
        """Frames that may be unacknowledged now."""
        if self.window:
            return min(self.window, MOST_WINDOW)
        interval_s = max(self._interval_s, 1 / self.view.fps if self.view.fps else 0.0)
        # A missed H.264 frame costs a key frame; a late answer of who is near should cost none.
        fewest = 2 if self.is_video or self._adaptation.is_roomy else 1
        return max(fewest, min(MOST_WINDOW, math.ceil((self.round_trip_s + _SPARE_S) / interval_s)))

    @property
    def has_room(self) -> bool:
        """Whether another frame may be on its way."""
        return len(self._sent) + len(self._waiting) < self.allowed

    @property
    def has_waiting(self) -> bool:
        """Whether `take` has a frame."""
        return bool(self._waiting) and len(self._sent) < self.allowed

    @property
    def is_video(self) -> bool:
        """Whether it gets H.264: it asked for it and has not given up."""
        return self.view.format is Format.H264 and not self._following.has_given_up

    @property
    def dropped_since(self) -> int:
        """Frames not sent since the last one, because the window was full."""
        return self._dropped_since

    def adjust(self, view: View) -> None:
        """Replace the view that is wanted."""
        self.view = view
        self._next_at = -math.inf

    def wants(self, sequence: int) -> bool:
        """Return whether the frame should be made for it now."""
        # What waits is replaced by a newer JPEG, but H.264 builds on it.
        self._was_full = not self.has_room or (self.is_video and bool(self._waiting))
        self._was_early = self.clock() < self._next_at
        return sequence > self._last_sequence and not (self._was_full or self._was_early)

    def is_at(self, picture: Picture) -> bool:
        """Return whether it got this picture last, so that it can show the next of the stream."""
        return self._following.is_at(picture)

    def give_up_video(self) -> None:
        """Get JPEG for a while, whatever it asked for."""
        self._following.give_up()

    def passed_over(self, sequence: int) -> None:
        """Note that a newer frame has come before this one was made; counts the last cause."""
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
            return self._recipe(_recipe_width(asked, native_width), self.view.quality)
        level = self._adaptation.level
        width = (
            asked if level.width == 1 else round(asked * level.width / _WIDTH_STEP) * _WIDTH_STEP
        )
        quality = self.view.quality
        if level.quality < 1:
            quality = max(10, round((quality or DEFAULT_QUALITY) * level.quality))
        return self._recipe(_recipe_width(width, native_width), quality)

    def offer(self, picture: Picture, message: bytes) -> bool:
        """Let a frame wait for its turn; False if it is too big for its link or of no use to it."""
        if picture.sequence <= self._last_sequence or not self._can_show(picture):
            return False
        self._learn_format(picture.format)
        if self._is_too_big(picture, message):
            return False
        self._last_sequence = picture.sequence
        self._following.got(picture)
        if picture.is_key:
            self._drop_waiting()
        self._waiting.append((picture, message, self.clock()))
        self._schedule()
        self.wake()
        return True

    def take(self) -> tuple[Picture, bytes] | None:
        """Take what waits to be written, if anything does; from then on it is unacknowledged."""
        if not self.has_waiting:
            return None
        picture, message, _ = self._waiting.popleft()
        self._sent[picture.sequence] = (len(message), self.clock())
        self.counters.sent_frames += 1
        self.counters.sent_bytes += len(message)
        self._dropped_since = 0
        return picture, message

    def opened_acknowledged(self, took_s: float) -> None:
        """Note the round trip of an empty message."""
        self.round_trip_s = took_s

    def acknowledged(self, sequence: int) -> bool:
        """Note that a frame, and those before it, arrived; False if it was not on its way."""
        if sequence not in self._sent:
            return False
        now = self.clock()
        while self._sent:
            sent, (size, at) = self._sent.popitem(last=False)
            self._count_acknowledged(now - at)
            if sent == sequence:
                self._adaptation.delivered(size, now - at - self.round_trip_s)
                break
        if self.has_waiting:
            self.wake()
        return True

    def _recipe(self, width: int, quality: int) -> Recipe:
        if not self.is_video:
            return Recipe(width, quality)
        # In steps, so that those who want about the same share an encoder.
        quality = max(1, round((quality or DEFAULT_QUALITY) / _QUALITY_STEP)) * _QUALITY_STEP
        is_slower = self.view.fps * self._interval_s < 1
        return Recipe(width, quality, Format.H264, self.view.fps if is_slower else 0.0)

    def _can_show(self, picture: Picture) -> bool:
        if not self._following.can_show(picture):
            return False
        if picture.is_key or not self._is_far_behind:
            return True
        self._drop_waiting()
        self._following.missed()
        return False

    @property
    def _is_far_behind(self) -> bool:
        if not self._waiting:
            return False
        waited_s = self.clock() - self._waiting[0][2]
        return len(self._waiting) >= _MOST_BEHIND or waited_s > _MOST_BEHIND_S

    def _drop_waiting(self) -> None:
        """Let a newer frame take the place of what was not written."""
        self.counters.dropped_window += len(self._waiting)
        self._dropped_since += len(self._waiting)
        self._waiting.clear()

    def _learn_format(self, encoding: Format) -> None:
        """Discard what is known of the link: JPEG and H.264 differ too much for it to apply."""
        if encoding is not self._last_format:
            self._last_format = encoding
            self._adaptation.forget_rate()

    def _is_too_big(self, picture: Picture, message: bytes) -> bool:
        """Return whether it would be late; small H.264 frames do not predict its key frames.

        Better late than never is a placeholder, for there is no smaller one.
        """
        if self.view.is_fixed or picture.is_placeholder or picture.format is Format.H264:
            return False
        return self._adaptation.is_too_big(len(message))

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
