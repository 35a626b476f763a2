"""Sizes of data for people: bytes below 1 kB, then kB, MB and GB of a thousand each."""

from __future__ import annotations

_UNITS = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def size_text(size_bytes: int) -> str:
    """Return a size with its unit."""
    number, unit = _in_unit_of(size_bytes, size_bytes)
    return f"{number} {unit}"


def part_text(done_bytes: int, size_bytes: int) -> str:
    """Return how much of a size is done, in the unit of the whole."""
    done, _ = _in_unit_of(size_bytes, done_bytes)
    return f"{done} of {size_text(size_bytes)}"


def _in_unit_of(whole_bytes: int, count: int) -> tuple[str, str]:
    for factor, unit in _UNITS:
        if whole_bytes >= factor:
            return f"{count / factor:,.1f}", unit
    return f"{count}", "byte" if whole_bytes == 1 else "bytes"
