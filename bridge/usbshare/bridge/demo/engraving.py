"""The bundled engraving: the word "usbshare" in a frame, as LightBurn writes it for GRBL."""

from __future__ import annotations

from collections.abc import Iterator

LEFT, BOTTOM, SIZE = 8.0, 8.0, 15.0
_STEP_MM = 0.1
_PIXELS = 150
_ROWS = 21
_ROW_MM = 0.2
_OVERSCAN_MM = 4.0
_FULL, _DIM = 600, 230

# Five columns a letter, one bit a row, the lowest bit on top.
_GLYPHS = {
    "u": (0x3C, 0x40, 0x40, 0x20, 0x7C),
    "s": (0x48, 0x54, 0x54, 0x54, 0x20),
    "b": (0x7F, 0x48, 0x44, 0x44, 0x38),
    "h": (0x7F, 0x08, 0x04, 0x04, 0x78),
    "a": (0x20, 0x54, 0x54, 0x54, 0x78),
    "r": (0x7C, 0x08, 0x04, 0x04, 0x08),
    "e": (0x38, 0x54, 0x54, 0x54, 0x18),
}
_WORD = "usbshare"
_COLUMNS_PER_LETTER = 6
_GLYPH_ROWS = 8


def engraving_lines() -> list[str]:
    """Return the program, about 3000 lines without line ends; always the same."""
    return [*_header(), *_frame(), *_raster(), *_footer()]


def _header() -> Iterator[str]:
    yield "; usbshare bundled engraving"
    yield "; GRBL device profile, absolute coords"
    yield "G00 G17 G40 G21 G54"
    yield "G90"
    yield "M4"
    yield "M8"


def _frame() -> Iterator[str]:
    near, far = _number(LEFT), _number(LEFT + SIZE)
    yield f"G0 X{near}Y{near}"
    yield f"G1 Y{far}S{_FULL}F1800"
    yield f"X{far}"
    yield f"Y{near}"
    yield f"X{near}"


def _raster() -> Iterator[str]:
    first_y = BOTTOM + (SIZE - _ROWS * _ROW_MM) / 2
    for row in range(_ROWS):
        yield from _row(row, first_y + row * _ROW_MM)


def _row(row: int, y: float) -> Iterator[str]:
    forward = row % 2 == 0
    start, end = (LEFT, LEFT + SIZE) if forward else (LEFT + SIZE, LEFT)
    sign = 1 if forward else -1
    yield f"G0 X{_number(start - sign * _OVERSCAN_MM)}Y{_number(y)}"
    yield f"G1 X{_number(start)}S0F6000" if row == 0 else f"G1 X{_number(start)}S0"
    for pixel in range(_PIXELS):
        x = start + sign * (pixel + 1) * _STEP_MM
        column = pixel if forward else _PIXELS - 1 - pixel
        yield f"X{_number(x)}S{_power(column, row)}"
    yield f"X{_number(end + sign * _OVERSCAN_MM)}S0"


def _power(column: int, row: int) -> int:
    """Return a pixel's S: the word bright upon a shade that runs across."""
    if _inked(column, row):
        return _FULL + 2 * column
    return _DIM + (7 * column + 13 * row) % 50


def _inked(column: int, row: int) -> bool:
    glyph_column = column * len(_WORD) * _COLUMNS_PER_LETTER // _PIXELS
    letter, within = divmod(glyph_column, _COLUMNS_PER_LETTER)
    if within == _COLUMNS_PER_LETTER - 1:
        return False
    from_top = (_ROWS - 1 - row) * _GLYPH_ROWS // _ROWS
    return bool(_GLYPHS[_WORD[letter]][within] >> from_top & 1)


def _footer() -> Iterator[str]:
    yield "M9"
    yield "G1 S0"
    yield "M5"
    yield "G90"
    yield "G0 X0 Y0"
    yield "M2"


def _number(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".")
