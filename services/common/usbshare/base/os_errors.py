"""What the operating system refuses, in words that say what to do."""

from __future__ import annotations

import errno

_OTHERS_FILES = (
    "work as the user that runs the services, fix the owner and permissions of it and its "
    "folder, or choose another folder with USBSHARE_HOME"
)
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
    return f"{what}: {(error.strerror or str(error)).lower()}: {advice}"
