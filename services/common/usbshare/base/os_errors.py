"""What the operating system refuses, in words that say what to do."""

from __future__ import annotations

import errno

_OTHERS_FILES = (
    "work as the user that the services run as, mend the owner and the rights of it and its "
    "folder, or choose another folder with USBSHARE_HOME"
)
_ADVICE = {
    errno.EACCES: _OTHERS_FILES,
    errno.EPERM: _OTHERS_FILES,
    errno.EROFS: "the disk can only be read: choose another folder with USBSHARE_HOME",
    errno.ENOSPC: "make room on the disk, then try again",
    errno.EDQUOT: "make room on the disk, then try again",
}


def in_words(error: OSError) -> str:
    """Return one line about an error of the system, with advice."""
    what = "the system says no" if error.filename is None else f"cannot use {error.filename}"
    advice = _ADVICE.get(error.errno or 0, "mend that, then try again")
    return f"{what}: {(error.strerror or str(error)).lower()}: {advice}"
