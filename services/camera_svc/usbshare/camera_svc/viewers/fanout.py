"""From a camera's newest frame to every viewer: each recipe is made once, the newest wins."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, Future
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from usbshare.camera_svc.picture.frame import Picture, Raw, Recipe
from usbshare.camera_svc.picture.h264 import VideoEncoderError
from usbshare.camera_svc.viewers.streams import Streams, is_video
from usbshare.camera_svc.viewers.viewer import Viewer

log = logging.getLogger(__name__)

Made = tuple[Picture, bytes]
Make = Callable[[Raw, Recipe], Made]


class VideoMaker(Protocol):
    """Makes streams of H.264, see `encoded.Maker`."""

    def make_next(self, raw: Raw, recipe: Recipe, *, force_key: bool) -> Made:
        """Return the next picture of a stream; in the executor, one a recipe at a time."""
        ...

    def end(self, recipe: Recipe) -> None:
        """End a stream; in the executor, when nothing more of it will be made."""


@dataclass(slots=True)
class Fanout:
    """Lives on the event loop; only `make` runs in the executor, at most `most_at_once` times.

    `call_soon` hands a result from the executor's thread back to the loop. `failed` learns why a
    frame could not be made, `unserved` are those who wanted it, until there is one that can be.
    Without `video` all get JPEG.
    """

    make: Make
    executor: Executor
    call_soon: Callable[..., object]
    failed: Callable[[Exception], None]
    most_at_once: int = 1
    video: VideoMaker | None = None
    clock: Callable[[], float] = time.monotonic
    viewers: list[Viewer] = field(default_factory=list)
    unserved: set[Viewer] = field(default_factory=set)
    _streams: Streams = field(init=False)
    _raw: Raw | None = None
    _made: dict[Recipe, Made] = field(default_factory=dict)
    _making: set[Recipe] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._streams = Streams(self.clock)

    def join(self, viewer: Viewer) -> None:
        """Begin to serve a viewer, with the newest frame at once."""
        self.viewers.append(viewer)
        self.serve()

    def leave(self, viewer: Viewer) -> None:
        """Serve it no longer."""
        self.viewers.remove(viewer)
        self.unserved.discard(viewer)
        self._end_unused()

    def captured(self, raw: Raw) -> None:
        """Take a new frame; what was not made of the one before will never be."""
        if (old := self._raw) is not None:
            for viewer in self.viewers:
                viewer.passed_over(old.sequence)
        self._raw = raw
        self._made.clear()
        self._end_unused()
        self.serve()

    def show(self, picture: Picture, message: bytes) -> None:
        """Show every viewer that has room an existing picture, whatever it asked for."""
        self.forget()
        for viewer in self.viewers:
            if viewer.has_room:
                viewer.offer(picture, message)

    def show_unserved(self, picture: Picture, message: bytes) -> None:
        """Show a picture that is made already to those for whom none could be made."""
        for viewer in self.unserved:
            if viewer.has_room:
                viewer.offer(picture, message)

    def forget(self) -> None:
        """Drop the newest frame: the camera that made it delivers no more."""
        self.unserved.clear()
        self._raw = None
        self._made.clear()

    def serve(self, viewers: Iterable[Viewer] | None = None) -> None:
        """Give viewers with room what they want of the newest frame; run after each change.

        With viewers only these, where the change was theirs.
        """
        raw = self._raw
        if raw is None:
            return
        wanted: dict[Recipe, list[Viewer]] = {}
        for viewer in self.viewers if viewers is None else viewers:
            if viewer.wants(raw.sequence):
                wanted.setdefault(self._recipe(viewer, raw), []).append(viewer)
        for recipe, wanting in sorted(wanted.items(), key=lambda item: _urgency(item[1])):
            if recipe in self._made:
                _offer(wanting, self._made[recipe])
            elif recipe not in self._making and len(self._making) < self.most_at_once:
                self._begin(raw, recipe, wanting)

    def _recipe(self, viewer: Viewer, raw: Raw) -> Recipe:
        """Return what to make for the viewer, which gets JPEG where no more streams may be."""
        recipe = viewer.recipe(raw.width)
        if is_video(recipe) and (self.video is None or not self._streams.admit(recipe)):
            viewer.give_up_video()
            return viewer.recipe(raw.width)
        return recipe

    def _begin(self, raw: Raw, recipe: Recipe, wanting: Sequence[Viewer]) -> None:
        make = partial(self.make, raw, recipe)
        if is_video(recipe) and self.video is not None:
            force_key = self._streams.is_key_next(recipe, wanting)
            if force_key is None:
                return
            make = partial(self.video.make_next, raw, recipe, force_key=force_key)
        self._making.add(recipe)
        making = self.executor.submit(make)
        making.add_done_callback(partial(self.call_soon, self._finish, raw, recipe))

    def _finish(self, raw: Raw, recipe: Recipe, making: Future[Made]) -> None:
        self._making.discard(recipe)
        if error := making.exception():
            self._learn_failure(recipe, raw, error)
            return
        made = making.result()
        if self.unserved:
            self.unserved -= {v for v in self.unserved if v.recipe(raw.width) == recipe}
        if is_video(recipe):
            self._streams.made(recipe, made[0])
            self._end_unused()
        if self._raw is None:
            return
        if raw is self._raw:
            self._made[recipe] = made
        # A newer frame may have come meanwhile: this one is still the newest that is made.
        wanting = (
            v
            for v in self.viewers
            # H.264 goes to all of its viewers, those too whose turn it is not.
            if (is_video(recipe) or v.wants(raw.sequence)) and v.recipe(raw.width) == recipe
        )
        _offer(wanting, made)
        self.serve()

    def _learn_failure(self, recipe: Recipe, raw: Raw, error: BaseException) -> None:
        if not isinstance(error, Exception):
            raise error
        if not isinstance(error, VideoEncoderError):
            self.unserved |= {v for v in self.viewers if v.recipe(raw.width) == recipe}
            self.failed(error)
            return
        log.warning("%s; its viewers get JPEG", error)
        for viewer in self.viewers:
            if viewer.recipe(raw.width) == recipe:
                viewer.give_up_video()
        self._end_unused()
        self.serve()

    def _end_unused(self) -> None:
        """End the streams without viewers."""
        raw = self._raw
        if self.video is None or not self._streams.are_any or (raw is None and self.viewers):
            return
        used = {viewer.recipe(raw.width) for viewer in self.viewers} if raw is not None else set()
        for recipe in self._streams.without(used):
            if recipe not in self._making:
                self._streams.forget(recipe)
                with suppress(RuntimeError):  # the executor has ended, and all streams with it
                    self.executor.submit(self.video.end, recipe)


def _urgency(viewers: Iterable[Viewer]) -> int:
    return min(viewer.view.priority.value for viewer in viewers)


def _offer(viewers: Iterable[Viewer], made: Made) -> None:
    picture, message = made
    for viewer in viewers:
        viewer.offer(picture, message)
