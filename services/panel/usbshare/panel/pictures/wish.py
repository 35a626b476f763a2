"""What a page asks for in an address: `?host=…&camera=…&formats=h264,jpeg&width=…&fps=…`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from usbshare.base.errors import InvalidArgumentError
from usbshare.client.camera.messages import Format

MOST_WIDTH_PX = 16384
MOST_FPS = 240.0
_MOST_NAME = 300


@dataclass(frozen=True, slots=True)
class PictureWish:
    """What to show. An empty camera is the host's only one; zeroes leave the choice to the host.

    `takes_h264`: the page can decode it; JPEG every page can.
    """

    host: str
    camera: str = ""
    takes_h264: bool = False
    width: int = 0
    fps: float = 0.0


def picture_wish(query: Mapping[str, str]) -> PictureWish:
    """Return what is asked for; raises InvalidArgumentError that names what is wrong."""
    host, camera = query.get("host", ""), query.get("camera", "")
    if not host:
        raise InvalidArgumentError("`host` is missing: add ?host=… with the host's key")
    if max(len(host), len(camera)) > _MOST_NAME:
        raise InvalidArgumentError(f"`host` and `camera` may have at most {_MOST_NAME} characters")
    width = _number("width", query.get("width", "0"), MOST_WIDTH_PX)
    if not width.is_integer():
        raise InvalidArgumentError(f"`width` must be a whole number of pixels, not {width:g}")
    fps = _number("fps", query.get("fps", "0"), MOST_FPS)
    return PictureWish(host, camera, _takes_h264(query.get("formats", "")), int(width), fps)


def _takes_h264(formats: str) -> bool:
    known = {each.value for each in Format}
    asked = {each for each in formats.split(",") if each}
    if unknown := sorted(asked - known):
        allowed = ", ".join(sorted(known))
        raise InvalidArgumentError(f"`formats` names {unknown[0][:40]!r}; known are {allowed}")
    return Format.H264.value in asked


def _number(name: str, text: str, most: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= most:
        raise InvalidArgumentError(f"`{name}` is a number from 0 to {most:g}, not {text[:40]!r}")
    return value
