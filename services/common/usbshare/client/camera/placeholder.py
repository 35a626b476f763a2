"""Shows within two seconds that the pictures have ended, and why."""

from __future__ import annotations

import asyncio
import io
import textwrap
from collections.abc import Callable
from datetime import UTC, datetime

from PIL import Image, ImageDraw, ImageFont

from usbshare.base.threads import in_thread
from usbshare.client.camera.messages import Frame
from usbshare.client.camera.view import Newest, Picture, Viewing, ViewState

_SMALLEST, _LARGEST = (320, 240), (3840, 2160)
_DARK, _AMBER, _BRIGHT = (32, 32, 32), (255, 190, 60), (235, 235, 235)
_QUALITY = 80
_LETTERS_ACROSS, _MOST_LINES = 40, 6


def notice(width: int, height: int, text: str, last_good: datetime | None) -> bytes:
    """Return a JPEG of about that size with the text and the time of the last good picture."""
    size = (
        min(max(width, _SMALLEST[0]), _LARGEST[0]),
        min(max(height, _SMALLEST[1]), _LARGEST[1]),
    )
    image = Image.new("RGB", size, _DARK)
    lines = textwrap.wrap(text, _LETTERS_ACROSS, max_lines=_MOST_LINES, placeholder=" …")
    _write(image, [*(lines or ["no picture"]), "", _last_seen(last_good)])
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()


def _last_seen(last_good: datetime | None) -> str:
    if last_good is None:
        return "no picture yet"
    return f"last picture {last_good:%Y-%m-%d %H:%M:%S %Z}".rstrip()


def _write(image: Image.Image, lines: list[str]) -> None:
    width, height = image.size
    letter = min(height / (1.5 * len(lines) + 2), width / (0.6 * _LETTERS_ACROSS + 2))
    font = ImageFont.load_default(letter)
    draw = ImageDraw.Draw(image)
    top = (height - 1.5 * letter * len(lines)) / 2
    for number, line in enumerate(lines):
        where = (0.05 * width, top + 1.5 * letter * number)
        draw.text(where, line, fill=_BRIGHT if number else _AMBER, font=font)


QUIET_S = 1.5
QUIET_FRAMES = 2.5
AGAIN_S = 1.0
_LOOK_S = 0.1
_SIZE_BEFORE_ANY = (1280, 720)


class StandIn:
    """Puts a picture of its own where none has come for a while, again each second.

    What the service sends for a camera that delivers nothing is a picture too.
    """

    def __init__(
        self, viewing: Viewing, newest: Newest, target: str, clock: Callable[[], float]
    ) -> None:
        self._viewing = viewing
        self._newest = newest
        self._target = target
        self._clock = clock
        self._put_at = float("-inf")

    async def run(self) -> None:
        """Show placeholders until cancelled."""
        while True:
            if self.is_due:
                await self.put()
            await asyncio.sleep(_LOOK_S)

    @property
    def is_due(self) -> bool:
        """Whether nothing has come for too long, and nothing was put for a second."""
        now, viewing = self._clock(), self._viewing
        allowed_s = QUIET_S
        if viewing.state is not ViewState.LOST:
            allowed_s = max(QUIET_S, QUIET_FRAMES * viewing.slowest_s)
        return now - viewing.heard_at >= allowed_s and now - self._put_at >= AGAIN_S

    async def put(self) -> None:
        """Draw and show it, unless a picture has come meanwhile."""
        heard_at = self._viewing.heard_at
        self._viewing.fell_silent(f"no picture comes from {self._target}")
        last = self._newest.last_good
        size = (last.frame.width, last.frame.height) if last else _SIZE_BEFORE_ANY
        text, seen = self.text, _seen_at(last)
        data = await in_thread(notice, *size, text, seen.astimezone() if seen else None)
        if self._viewing.heard_at != heard_at:
            return
        self._put_at = now = self._clock()
        sequence = last.frame.sequence if last else 0
        captured = datetime.now(UTC).timestamp()
        self._newest.put(Frame(sequence, captured, 0, *size, data, is_placeholder=True), now)

    @property
    def text(self) -> str:
        """Why there is no picture."""
        return self._viewing.reason or "no picture"


def _seen_at(picture: Picture | None) -> datetime | None:
    return None if picture is None else datetime.fromtimestamp(picture.frame.captured_s, UTC)
