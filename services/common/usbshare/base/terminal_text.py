"""How wide text is on a terminal, and what of it fits."""

from __future__ import annotations

import unicodedata


def width(text: str) -> int:
    """Return how many columns of a terminal the text takes."""
    return sum(_columns(character) for character in text)


def cut(text: str, most_columns: int) -> str:
    """Return the text, or as much of it as fits with an ellipsis."""
    if width(text) <= most_columns:
        return text
    kept, used = [], 1
    for character in text:
        used += _columns(character)
        if used > most_columns:
            break
        kept.append(character)
    return "".join(kept) + "…" if most_columns > 0 else ""


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1
