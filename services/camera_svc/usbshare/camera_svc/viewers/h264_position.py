"""How one viewer follows a stream of H.264: its position, and how often it missed pictures."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

from usbshare.camera_svc.picture.frame import Picture

MOST_LOSSES = 3
WITHIN_S = 10.0
FALLBACK_S = 30.0
LONGEST_FALLBACK_S = 480.0
_NOWHERE = (0, 0)
_LOST = -1


class Following:
    """A viewer that needs too many key frames gives up for a while, longer each time it recurs."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._position = _NOWHERE
        self._losses: deque[float] = deque(maxlen=MOST_LOSSES)
        self._gives_up_until = -math.inf
        self._fallback_s = FALLBACK_S

    @property
    def has_given_up(self) -> bool:
        """Whether it takes no H.264 now."""
        return self._clock() < self._gives_up_until

    def can_show(self, picture: Picture) -> bool:
        """Return whether it has what the picture builds on."""
        return picture.is_key or self._position == (picture.stream, picture.index - 1)

    def is_at(self, picture: Picture) -> bool:
        """Return whether this picture is what it got last."""
        return self._position == (picture.stream, picture.index)

    def got(self, picture: Picture) -> None:
        """Note what it gets; a key frame after a gap in the same stream is a loss."""
        stream, index = self._position
        self._position = (picture.stream, picture.index)
        if stream and stream == picture.stream and index != picture.index - 1:
            self._lost_its_way()

    def missed(self) -> None:
        """Note that it does not get what it should, so that only a key frame helps."""
        self._position = (self._position[0], _LOST)

    def give_up(self) -> None:
        """Take no H.264 for a while."""
        now = self._clock()
        if now - self._gives_up_until > self._fallback_s:  # it went well for long
            self._fallback_s = FALLBACK_S
        self._gives_up_until = now + self._fallback_s
        self._fallback_s = min(LONGEST_FALLBACK_S, self._fallback_s * 2)
        self._losses.clear()

    def _lost_its_way(self) -> None:
        now = self._clock()
        self._losses.append(now)
        if len(self._losses) == MOST_LOSSES and now - self._losses[0] <= WITHIN_S:
            self.give_up()
