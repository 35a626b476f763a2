"""Check of ptys and of the folder for their names, on Linux and macOS."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from usbshare.base.checkup import Judgement, failure, failure_of, fine
from usbshare.base.errors import ConfigError
from usbshare.base.paths import runtime_folder
from usbshare.line.name_link import NameLink


def judge_driver(name: str) -> Judgement:
    """Check whether a pty can be made, and a link of that name; leaves nothing behind."""
    try:
        for descriptor in os.openpty():
            os.close(descriptor)
    except OSError as error:
        remedy = "mount devpts at /dev/pts, or raise the sysctl kernel.pty.max"
        return failure(f"no pty can be created ({error.strerror})", remedy)
    try:
        return _judge_link(NameLink(name)) if name else _judge_folder(runtime_folder())
    except ConfigError as error:
        return failure_of(error)


def _judge_link(link: NameLink) -> Judgement:
    link.claim()
    link.remove()
    folder = link.path.parent
    if not folder.is_dir():
        return failure(f"the folder {folder} does not exist", "create it, or use a plain name")
    judgement = _judge_folder(folder)
    return fine(f"ptys work, and {link.path} is free") if not judgement.remedy else judgement


def _judge_folder(folder: Path) -> Judgement:
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x")
            file.flush()
    except OSError as error:
        return failure(
            f"cannot write into {folder} ({error.strerror})",
            "fix its permissions, or free some space",
        )
    return fine(f"ptys work, and {folder} can be written")
