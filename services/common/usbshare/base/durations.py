"""Lengths of time as people read them."""

from __future__ import annotations


def in_words(seconds: float) -> str:
    """Return 12.3 s, 4 min 05 s or 2 h 07 min."""
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{seconds:.1f} s"
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"
