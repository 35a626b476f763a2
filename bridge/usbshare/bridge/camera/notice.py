"""A picture that says why there is none, drawn here: the service may be what is missing."""

from __future__ import annotations

import io
import textwrap
from datetime import datetime

from PIL import Image, ImageDraw, ImageFont

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
