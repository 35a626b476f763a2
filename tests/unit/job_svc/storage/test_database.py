"""The record of the jobs: what was saved is there, and a damaged one is kept aside."""

from __future__ import annotations

import errno
import logging
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest

from usbshare.base.errors import ConfigError
from usbshare.job_svc.storage.database import DATABASE_FILE, JobDatabase
from usbshare.job_svc.storage.job import Job, JobState, Person, Progress, StoredFile

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
JOB = Job(
    7,
    "laser",
    "part.gcode",
    StoredFile("ab" * 32, 120, 10),
    Person("usbshare://site/anna", NOON, 12345),
    NOON,
    state=JobState.HELD,
    reason="why",
    passes=3,
    started=NOON,
    progress=Progress(30, 360, 8, 90, 5, 60, 4, 1, 3.5, None),
)


def opened(folder: Path) -> tuple[JobDatabase, list[Job]]:
    database = JobDatabase(folder, lambda: NOON)
    return database, database.load()


def test_saved_jobs_are_loaded_again(tmp_path: Path) -> None:
    database, jobs = opened(tmp_path)
    assert jobs == []
    database.save(JOB)
    database.save(JOB.changed(job_id=8))
    database.delete(8)
    again, jobs = opened(tmp_path)  # as after kill -9: nothing was closed
    assert jobs == [JOB]
    assert again.last_number == 8
    assert again.kept_aside() == []
    database.close()
    again.close()


@pytest.mark.parametrize("how", ["replaced", "replaced by an older one", "removed", "alone"])
def test_a_database_that_is_replaced_while_it_is_in_use_is_written_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    path, other = tmp_path / DATABASE_FILE, tmp_path / "other"
    database, _ = opened(tmp_path)
    database.save(JOB)
    match how:
        case "removed":
            for each in tmp_path.glob(f"{DATABASE_FILE}*"):
                each.unlink()
        case "alone":
            path.unlink()
        case "replaced":
            other.write_text("mine")
            other.rename(path)
        case _:
            older, _ = opened(other)
            older.close()
            (other / DATABASE_FILE).rename(path)
    for number in (8, 9):
        database.save(JOB.changed(job_id=number))
    database.delete(8)
    again, jobs = opened(tmp_path)
    assert [job.job_id for job in jobs] == [7, 9]
    assert caplog.text.count("was replaced or removed while job-svc ran") == 1
    aside = [path for path in tmp_path.glob("*.replaced-*") if path.name[-1].isdigit()]
    is_kept = how.startswith("replaced")
    assert (len(aside), f"kept as {tmp_path}" in caplog.text) == (is_kept, is_kept)
    assert database.kept_aside() == []
    database.close()
    again.close()
    assert [job.job_id for job in opened(tmp_path)[1]] == [7, 9]


@pytest.mark.parametrize("step", [(Path, "rename"), (Path, "replace"), (JobDatabase, "_open")])
def test_a_database_that_cannot_be_written_anew_at_once_is_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: tuple[type, str]
) -> None:
    database, _ = opened(tmp_path)
    database.save(JOB)
    (tmp_path / "other").write_text("mine")
    (tmp_path / "other").rename(tmp_path / DATABASE_FILE)
    with monkeypatch.context() as failing:

        def fail(*_: object) -> None:
            raise OSError(errno.ENOSPC, "no space left on device")

        failing.setattr(*step, fail)
        with pytest.raises(OSError, match="no space left"):
            database.save(JOB)
    database.save(JOB.changed(job_id=8))
    database.save(JOB.changed(job_id=9))
    again, jobs = opened(tmp_path)
    assert [job.job_id for job in jobs] == [7, 8, 9]
    database.close()
    again.close()
    assert [job.job_id for job in opened(tmp_path)[1]] == [7, 8, 9]


@pytest.mark.parametrize("how", ["no database", "empty table", "wrong record", "cut short"])
def test_a_damaged_database_is_kept_aside_and_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    database, _ = opened(tmp_path)
    for number in range(1, 40):
        database.save(JOB.changed(job_id=number, reason="x" * 500))
    database.close()
    damage(tmp_path / DATABASE_FILE, how)
    with caplog.at_level(logging.ERROR):
        again, jobs = opened(tmp_path)
    assert jobs == []
    assert again.kept_aside() == [f"{DATABASE_FILE}.damaged-20260501-120000"]
    assert JobDatabase(tmp_path).kept_aside() == again.kept_aside()  # until it is moved away
    assert "the record of the jobs is damaged" in caplog.text
    assert again.last_number == 39
    again.save(JOB.changed(job_id=40))
    again.close()


def damage(path: Path, how: str) -> None:
    content = path.read_bytes()
    if how == "no database":
        path.write_bytes(b"this is no database" * 300)
    elif how == "cut short":
        path.write_bytes(content[: len(content) // 2])
    else:
        with sqlite3.connect(path) as connection:
            change = "DROP TABLE jobs" if how == "empty table" else "UPDATE jobs SET record='{}'"
            connection.execute(change)
        connection.close()


def test_a_database_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    database, _ = opened(tmp_path)
    database.close()
    with sqlite3.connect(tmp_path / DATABASE_FILE) as connection:
        connection.execute("PRAGMA user_version=99")
    connection.close()
    with pytest.raises(ConfigError, match="made by a newer version of usbshare"):
        opened(tmp_path)


def test_a_disk_that_cannot_be_written_is_an_error_of_the_system(tmp_path: Path) -> None:
    database, _ = opened(tmp_path)
    with sqlite3.connect(tmp_path / DATABASE_FILE, isolation_level=None) as other:
        database._in_use.execute("PRAGMA busy_timeout=1")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(OSError, match="locked"):
            database.save(JOB)
        other.execute("ROLLBACK")
    other.close()
    database.save(JOB)
    database.close()
