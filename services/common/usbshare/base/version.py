"""Which version of usbshare this is."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache


@cache
def usbshare_version() -> str:
    """Return the installed version; empty where nothing says it."""
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - takes its time

    try:
        return version("usbshare")
    except PackageNotFoundError:
        return ""


def is_version_asked(arguments: Sequence[str]) -> bool:
    """Return whether a whole command line asks for the version, and for nothing else."""
    return list(arguments[1:]) == ["--version"]


def tell_version(program: str) -> None:
    """Print the program's name and version, which needs nothing of any extra."""
    print(program, usbshare_version() or "of unknown version")  # noqa: T201 - the result
