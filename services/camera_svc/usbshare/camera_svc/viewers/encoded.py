"""What the fan-out has made in encoder threads: pictures, and the messages that carry them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from usbshare.camera_svc.picture.encode import Encoder
from usbshare.camera_svc.picture.frame import Picture, Raw, Recipe
from usbshare.camera_svc.viewers.fanout import Made

Serialise = Callable[[Picture], bytes]


@dataclass(frozen=True, slots=True)
class Maker:
    """Makes the pictures of one camera; any thread."""

    encoder: Encoder
    serialise: Serialise

    def make(self, raw: Raw, recipe: Recipe) -> Made:
        """Return a picture that depends on no other."""
        picture = self.encoder.make(raw, recipe)
        return picture, self.serialise(picture)

    def make_next(self, raw: Raw, recipe: Recipe, *, force_key: bool) -> Made:
        """Return the next picture of the recipe's stream."""
        picture = self.encoder.make_next(raw, recipe, force_key=force_key)
        return picture, self.serialise(picture)

    def end(self, recipe: Recipe) -> None:
        """End the recipe's stream."""
        self.encoder.end(recipe)
