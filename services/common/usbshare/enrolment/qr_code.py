"""A QR code on a terminal, for a phone's camera."""

from __future__ import annotations

import io
import sys

import segno


def print_qr_code(text: str) -> None:
    """Draw it on stderr if that is a terminal that can show it; nothing otherwise."""
    if not sys.stderr.isatty():
        return
    drawn = io.StringIO()
    segno.make(text, error="l", micro=False).terminal(drawn, border=2, compact=True)
    try:
        print(drawn.getvalue(), file=sys.stderr)  # noqa: T201 - colours as they are
    except UnicodeEncodeError:
        return
