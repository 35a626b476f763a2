"""The record of the jobs: one SQLite file, used by one thread at a time.

WAL and `synchronous=FULL`: what was saved is there after a power cut. A database that cannot be
read is kept aside and a new one begun; the number of the last job is noted beside it as well, so
that a number is never given twice.
"""

from __future__ import annotations

import errno
import json
import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from itertools import chain, count
from pathlib import Path

from usbshare.base.errors import ConfigError
from usbshare.base.os_errors import of_file
from usbshare.base.paths import make_private, write_private
from usbshare.base.state_files import read_note
from usbshare.job_svc.storage.job import Job, as_record, from_record

_log = logging.getLogger(__name__)

SCHEMA_VERSION = 1
DATABASE_FILE, NUMBER_FILE = "jobs.sqlite", "last-number"
# All jobs, until they are in the place that somebody put another file in.
COPY_FILE = f"{DATABASE_FILE}.copy"
BUSY_TIMEOUT_S = 5.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (job_id INTEGER PRIMARY KEY, record TEXT NOT NULL);
"""
_utc_now = partial(datetime.now, UTC)
_FileId = tuple[int, int]
_PARTS = ("", "-wal", "-shm")
_NONE_OF_OURS: dict[str, _FileId] = dict.fromkeys(_PARTS, (-1, -1))


class JobDatabase:
    """Loads, saves and deletes jobs; every method blocks and raises OSError where the disk fails.

    A damaged database is put aside at `load`, and so is what somebody puts in its place later.
    """

    def __init__(self, folder: Path, now: Callable[[], datetime] = _utc_now) -> None:
        self._folder = folder
        self._path = folder / DATABASE_FILE
        self._copy = folder / COPY_FILE
        self._now = now
        self._connection: sqlite3.Connection | None = None
        self._ours = _NONE_OF_OURS
        self._last_number = 0

    def load(self) -> list[Job]:
        """Open the database, made if need be, and return its jobs by their numbers.

        Raises ConfigError where it is of a newer version of usbshare.
        """
        with self._as_os_error():
            make_private(self._folder)
            self._last_number = self._noted_number()
            if self._copy.exists():  # job-svc was killed before it was in its place
                self._make_way()
                self._place_copy()
            try:
                jobs = self._open()
            except (sqlite3.DatabaseError, ValueError, KeyError, TypeError) as error:
                if isinstance(error, sqlite3.OperationalError) and not _is_damage(error):
                    raise
                self._keep_aside(error)
                jobs = self._open()
        self._last_number = max([self._last_number, *(each.job_id for each in jobs)])
        return jobs

    def kept_aside(self) -> list[str]:
        """Return the names of the damaged databases that lie in the folder, the oldest first."""
        found = self._folder.glob(f"{DATABASE_FILE}.damaged-*")
        return sorted(each.name for each in found if not each.name.endswith(_PARTS[1:]))

    @property
    def last_number(self) -> int:
        """The highest number that was ever given to a job."""
        return self._last_number

    def save(self, job: Job) -> None:
        """Add a job, or replace it."""
        with self._as_os_error():
            if job.job_id > self._last_number:
                self._note_number(job.job_id)
            with self._in_use as connection:
                connection.execute(
                    "INSERT OR REPLACE INTO jobs (job_id, record) VALUES (?, ?)",
                    (job.job_id, json.dumps(as_record(job))),
                )

    def delete(self, job_id: int) -> None:
        """Forget a job, if it is there."""
        with self._as_os_error(), self._in_use as connection:
            connection.execute("DELETE FROM jobs WHERE job_id = ?", (job_id,))

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @property
    def _in_use(self) -> sqlite3.Connection:
        if self._connection is None:
            raise OSError(errno.EBADF, "the record of the jobs is not open", str(self._path))
        if _id_of(self._path) != self._ours[""]:
            self._put_back(self._connection)
        return self._connection

    def _open(self) -> list[Job]:
        # Threads take turns: who loads, then the one that saves.
        connection = sqlite3.connect(
            self._path, timeout=BUSY_TIMEOUT_S, check_same_thread=False, isolation_level="IMMEDIATE"
        )
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            self._prepare(connection)
            rows = connection.execute("SELECT record FROM jobs ORDER BY job_id").fetchall()
            jobs = [from_record(json.loads(text)) for (text,) in rows]
        except BaseException:
            connection.close()
            raise
        self._path.chmod(0o600)
        self._connection = connection
        self._ours = {part: _id_of(self._part(part)) for part in _PARTS}
        return jobs

    def _put_back(self, connection: sqlite3.Connection) -> None:
        """Write all jobs again after the file was replaced or removed: saved data would be lost."""
        jobs = sqlite3.connect(":memory:", check_same_thread=False)
        connection.backup(jobs)
        self._make_way()
        connection.close()  # removes its journal by name: before there is another of that name
        # Should it fail below, it is tried again from these, whatever file is there.
        self._connection, self._ours = jobs, _NONE_OF_OURS
        write_private(self._copy, jobs.serialize())
        self._place_copy()
        self._open()
        jobs.close()

    def _make_way(self) -> None:
        aside = self._move_aside("replaced")
        if aside.exists():
            _log.error("the file that replaced %s is kept as %s", self._path, aside)

    def _place_copy(self) -> None:
        self._copy.replace(self._path)
        _log.error(
            "%s was replaced or removed while job-svc was running: rewritten with all jobs",
            self._path,
        )

    def _prepare(self, connection: sqlite3.Connection) -> None:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA_VERSION:
            raise ConfigError(
                f"{self._path} was made by a newer version of usbshare: update this one, or move "
                "that file away"
            )
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)
        if version == 0:
            with connection:
                connection.executescript(_SCHEMA)
                connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")

    def _move_aside(self, why: str) -> Path:
        """Move what is there, unless the open connection uses it, to names that are free."""
        aside = self._free_name(f"{why}-{self._now():%Y%m%d-%H%M%S}")
        for part in _PARTS:
            path = self._part(part)
            if path.exists() and _id_of(path) != self._ours[part]:
                path.rename(self._part(part, of=aside.name))
        return aside

    def _free_name(self, why: str) -> Path:
        """Return an unused name, even within the same second."""
        wanted = f"{DATABASE_FILE}.{why}"
        names = chain([wanted], (f"{wanted}-{number}" for number in count(2)))
        return self._folder / next(
            name for name in names if not any(self._part(part, of=name).exists() for part in _PARTS)
        )

    def _part(self, part: str, of: str = DATABASE_FILE) -> Path:
        return self._folder / (of + part)

    def _keep_aside(self, error: Exception) -> None:
        _log.error(
            "the record of the jobs is damaged (%s): kept as %s; creating a new one. Queue and "
            "history are empty, the files of the jobs are still here",
            error,
            self._move_aside("damaged"),
        )

    def _noted_number(self) -> int:
        try:
            return int(read_note(self._folder / NUMBER_FILE, 32).decode("ascii"))
        except FileNotFoundError:
            return 0
        except ValueError:
            _log.warning("%s is damaged: ignored", self._folder / NUMBER_FILE)
            return 0

    def _note_number(self, number: int) -> None:
        write_private(self._folder / NUMBER_FILE, f"{number}\n".encode())
        self._last_number = number

    @contextmanager
    def _as_os_error(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            is_full = getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_FULL
            raised = OSError(errno.ENOSPC if is_full else errno.EIO, str(error))
            raise of_file(raised, self._path) from error
        except OSError as error:
            if error.filename is not None:
                raise
            raise of_file(error, self._path) from error


def _id_of(path: Path) -> _FileId:
    try:
        found = path.stat()
    except FileNotFoundError:
        return (0, 0)
    return found.st_dev, found.st_ino


def _is_damage(error: sqlite3.OperationalError) -> bool:
    """Return whether SQLite means the file rather than the disk."""
    return "malformed" in str(error) or "no such table" in str(error)
