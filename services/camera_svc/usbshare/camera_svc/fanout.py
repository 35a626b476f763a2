"""From a camera's newest frame to every viewer: each recipe is made once, the newest wins."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from functools import partial

from usbshare.camera_svc.frame import Picture, Raw, Recipe
from usbshare.camera_svc.viewer import Viewer

Made = tuple[Picture, bytes]
Make = Callable[[Raw, Recipe], Made]


@dataclass(slots=True)
class Fanout:
    """Lives on the event loop; only `make` runs in the executor, at most `most_at_once` times.

    `call_soon` hands a result from the executor's thread back to the loop. `failed` learns why a
    frame could not be made.
    """

    make: Make
    executor: Executor
    call_soon: Callable[..., object]
    failed: Callable[[Exception], None]
    most_at_once: int = 1
    viewers: list[Viewer] = field(default_factory=list)
    _raw: Raw | None = None
    _made: dict[Recipe, Made] = field(default_factory=dict)
    _making: set[Recipe] = field(default_factory=set)

    def join(self, viewer: Viewer) -> None:
        """Begin to serve a viewer, with the newest frame at once."""
        self.viewers.append(viewer)
        self.serve()

    def leave(self, viewer: Viewer) -> None:
        """Serve it no longer."""
        self.viewers.remove(viewer)

    def captured(self, raw: Raw) -> None:
        """Take a new frame; what was not made of the one before will never be."""
        if (old := self._raw) is not None:
            for viewer in self.viewers:
                viewer.passed_over(old.sequence)
        self._raw = raw
        self._made.clear()
        self.serve()

    def show(self, picture: Picture, message: bytes) -> None:
        """Show everybody who has room a picture that is made already, whatever they asked for."""
        self.forget()
        for viewer in self.viewers:
            if viewer.has_room:
                viewer.offer(picture, message)

    def forget(self) -> None:
        """Drop the newest frame: the camera that made it delivers no more."""
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
                wanted.setdefault(viewer.recipe(raw.width), []).append(viewer)
        for recipe, wanting in sorted(wanted.items(), key=lambda item: _urgency(item[1])):
            if recipe in self._made:
                _offer(wanting, self._made[recipe])
            elif recipe not in self._making and len(self._making) < self.most_at_once:
                self._begin(raw, recipe)

    def _begin(self, raw: Raw, recipe: Recipe) -> None:
        self._making.add(recipe)
        making = self.executor.submit(self.make, raw, recipe)
        making.add_done_callback(partial(self.call_soon, self._finish, raw, recipe))

    def _finish(self, raw: Raw, recipe: Recipe, making: Future[Made]) -> None:
        self._making.discard(recipe)
        if error := making.exception():
            if not isinstance(error, Exception):
                raise error
            self.failed(error)
            return
        made = making.result()
        if self._raw is None:
            return
        if raw is self._raw:
            self._made[recipe] = made
        # A newer frame may have come meanwhile: this one is still the newest that is made.
        wanting = (
            v for v in self.viewers if v.wants(raw.sequence) and v.recipe(raw.width) == recipe
        )
        _offer(wanting, made)
        self.serve()


def _urgency(viewers: Iterable[Viewer]) -> int:
    return min(viewer.view.priority.value for viewer in viewers)


def _offer(viewers: Iterable[Viewer], made: Made) -> None:
    picture, message = made
    for viewer in viewers:
        viewer.offer(picture, message)
