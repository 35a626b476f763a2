"""Where it shows that a serial device has come or gone."""

from __future__ import annotations

from pathlib import Path

_NODES = Path("/dev")
_LINKS = (Path("/dev/serial/by-id"), Path("/dev/serial/by-path"))
_TTYS = Path("/sys/class/tty")


def folders_that_change() -> tuple[Path, ...]:
    """Return the folders whose time changes with each device; none where the system has none."""
    return (_NODES, *_LINKS) if _TTYS.is_dir() else ()
