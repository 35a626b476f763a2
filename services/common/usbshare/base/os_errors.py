"""What the operating system refuses, in words that say what to do."""

from __future__ import annotations

import errno
from pathlib import Path

from usbshare.base.sizes import size_text

_OTHERS_FILES = (
    "work as the user that runs the services, fix the owner and permissions of it and its "
    "folder, or choose another folder with USBSHARE_HOME"
)
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_ADVICE = {
    errno.EACCES: _OTHERS_FILES,
    errno.EPERM: _OTHERS_FILES,
    errno.EROFS: "the disk is read-only: choose another folder with USBSHARE_HOME",
    errno.ENOSPC: "free space on the disk, then try again",
    errno.EDQUOT: "free space on the disk, then try again",
}


def in_words(error: OSError) -> str:
    """Return one line about an error of the system, with advice."""
    what = "the system refused it" if error.filename is None else f"cannot use {error.filename}"
    advice = _ADVICE.get(error.errno or 0, "fix that, then try again")
    text = error.strerror or str(error)
    return f"{what}: {text[:1].lower()}{text[1:]}: {advice}"


def of_file(error: OSError, path: Path) -> OSError:
    """Return an error that names a file and, on a full disk, how much is free there; blocks."""
    import shutil  # noqa: PLC0415 - only on a full disk; services start without it

    text = error.strerror or str(error)
    if error.errno in FULL:
        text = f"{text} ({size_text(shutil.disk_usage(path.parent).free)} free)"
    return OSError(error.errno, text, str(path))
