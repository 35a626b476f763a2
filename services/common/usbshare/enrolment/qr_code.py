"""A QR code for a phone's camera: on a terminal, or as rows of modules."""

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


def qr_rows(text: str) -> list[str]:
    """Return a row of `0` and `1` for each row of modules, with the quiet zone."""
    code = segno.make(text, error="l", micro=False)
    return ["".join("1" if module else "0" for module in row) for row in code.matrix_iter(border=4)]
