"""The H.264 streams of one camera: each shared by its viewers, with key frames now and then."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from usbshare.camera_svc.picture.frame import Format, Picture, Recipe
from usbshare.camera_svc.viewers.viewer import Viewer

KEY_INTERVAL_S = 1.0
# Each encoder has some 10 MB and its share of the processor.
MOST_STREAMS = 6


@dataclass(slots=True)
class _Stream:
    """How far a stream is."""

    last: Picture | None = None
    key_at: float = -math.inf


@dataclass(slots=True)
class Streams:
    """Bookkeeping on the event loop."""

    clock: Callable[[], float]
    most: int = MOST_STREAMS
    _streams: dict[Recipe, _Stream] = field(default_factory=dict)

    def admit(self, recipe: Recipe) -> bool:
        """Make a place for the recipe's stream; False if there are too many."""
        if recipe not in self._streams:
            if len(self._streams) >= self.most:
                return False
            self._streams[recipe] = _Stream()
        return True

    def is_key_next(self, recipe: Recipe, wanting: Sequence[Viewer]) -> bool | None:
        """Return whether the next picture must be a key frame; None if none can show it yet."""
        stream = self._streams[recipe]
        last = stream.last
        if last is None:
            return True
        behind = sum(not viewer.is_at(last) for viewer in wanting)
        if behind and self.clock() - stream.key_at >= KEY_INTERVAL_S:
            return True
        return None if behind == len(wanting) else False

    def made(self, recipe: Recipe, picture: Picture) -> None:
        """Note what was made last."""
        stream = self._streams[recipe]
        stream.last = picture
        if picture.is_key:
            stream.key_at = self.clock()

    def forget(self, recipe: Recipe) -> None:
        """Remove the stream of a recipe."""
        self._streams.pop(recipe, None)

    def without(self, used: Iterable[Recipe]) -> list[Recipe]:
        """Return the recipes that no viewer uses."""
        return list(self._streams.keys() - set(used))

    @property
    def are_any(self) -> bool:
        """Whether there is a stream."""
        return bool(self._streams)


def is_video(recipe: Recipe) -> bool:
    """Return whether pictures of the recipe build on each other."""
    return recipe.format is Format.H264
