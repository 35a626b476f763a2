"""Whether the record of the jobs is whole, and the disk has room for files."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from usbshare.base.checkup import Judgement, failure, fine, warning
from usbshare.job_svc.settings import FilesTable
from usbshare.job_svc.storage.database import (
    COPY_FILE,
    DATABASE_FILE,
    SCHEMA_VERSION,
    JobDatabase,
)
from usbshare.job_svc.storage.files import KEPT_FREE_BYTES, MEGABYTE

_LOOK_S = 5.0
_AGAIN = "restart job-svc: it keeps this file aside and creates a new one; the files of jobs stay"
_PUT_BACK = f"restart job-svc: it puts its own back, with all jobs, from {COPY_FILE}"
_UPDATE = "update usbshare on this host, or move that file away"
_FREE = "free space on that disk, or delete jobs: `usbshare-bridge job delete`"


def judge_record(folder: Path) -> Judgement:
    """Check the database, without changing it. Blocks for the disk."""
    path = folder / DATABASE_FILE
    if aside := JobDatabase(folder).kept_aside():
        names = " ".join(str(folder / each) for each in aside)
        return warning(
            f"damaged records were kept aside: {', '.join(aside)}",
            f"examine them, then move them away: {names}",
        )
    if (folder / COPY_FILE).exists():
        return warning(f"{path} was replaced or removed while job-svc ran", _PUT_BACK)
    if not path.exists():
        return fine("none yet: the first start of job-svc creates it")
    return _judge_database(path)


def _judge_database(path: Path) -> Judgement:
    try:
        version, count = _looked(path)
    except PermissionError:
        return warning(f"this user cannot read {path}", "run the doctor as the service's user")
    except (sqlite3.DatabaseError, OSError) as error:
        return failure(f"{path} is damaged ({error})", _AGAIN)
    if version > SCHEMA_VERSION:
        return failure(f"{path} was made by a newer version of usbshare", _UPDATE)
    return fine(f"{path} is whole; {count} jobs")


def judge_room(folder: Path, table: FilesTable) -> Judgement:
    """Check whether the disk has room for another file. Blocks for the disk."""
    files = folder / "files"
    used = sum(each.stat().st_size for each in files.iterdir()) if files.is_dir() else 0
    there = next(each for each in (folder, *folder.parents) if each.exists())
    free = shutil.disk_usage(there).free
    measured = f"{used // MEGABYTE} MB of {table.max_bytes // MEGABYTE} MB in use"
    measured += f", {free // MEGABYTE} MB of the disk are free"
    if free < KEPT_FREE_BYTES:
        return failure(f"{measured}: files are refused", _FREE)
    if free < KEPT_FREE_BYTES + table.max_file_bytes:
        return warning(f"{measured}: not enough for the largest file", _FREE)
    return fine(measured)


def _looked(path: Path) -> tuple[int, int]:
    """Return the version of a database and how many jobs it has; raises what is wrong with it."""
    with path.open("rb"):  # SQLite names no reason
        pass
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=_LOOK_S)) as found:
        (verdict,) = found.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)
        (version,) = found.execute("PRAGMA user_version").fetchone()
        (count,) = found.execute("SELECT COUNT(*) FROM jobs").fetchone()
    return int(version), int(count)
