"""Which of a camera's modes comes closest to what is wished for."""

from __future__ import annotations

from collections.abc import Iterable

from usbshare.camera_svc.capture.source import Mode, PixelFormat, Wish

_DEFAULT_WIDTH, _DEFAULT_HEIGHT, _DEFAULT_FPS = 1280, 720, 30.0


def choose_mode(modes: Iterable[Mode], wish: Wish) -> Mode:
    """Return the closest mode: by format, then size, then rate; the wish itself if none is known.

    Without a wish it is MJPEG, which passes through undecoded, of 1280x720 at 30 a second.
    """
    wanted = _completed(wish)
    return min(modes, key=lambda mode: _distance(mode, wanted), default=wanted)


def _completed(wish: Wish) -> Mode:
    width, height = wish.width, wish.height
    if not width and not height:
        width, height = _DEFAULT_WIDTH, _DEFAULT_HEIGHT
    return Mode(
        width or height * _DEFAULT_WIDTH // _DEFAULT_HEIGHT,
        height or width * _DEFAULT_HEIGHT // _DEFAULT_WIDTH,
        wish.fps or _DEFAULT_FPS,
        wish.format or PixelFormat.MJPEG,
    )


def _distance(mode: Mode, wanted: Mode) -> tuple[bool, int, float]:
    size = abs(mode.width - wanted.width) + abs(mode.height - wanted.height)
    return mode.format is not wanted.format, size, abs(mode.fps - wanted.fps)
