"""What the doctor says of the record of the jobs and of the disk; it changes neither."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from usbshare.base.checkup import Verdict
from usbshare.job_svc.checkup.record import judge_record, judge_room
from usbshare.job_svc.settings import FilesTable
from usbshare.job_svc.storage.database import COPY_FILE, DATABASE_FILE, SCHEMA_VERSION, JobDatabase
from usbshare.job_svc.storage.files import KEPT_FREE_BYTES
from usbshare.job_svc.storage.job import Job, Person, StoredFile

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
JOB = Job(1, "laser", "x", StoredFile("ab" * 32, 1, 1), Person("a"), NOON)


def test_a_service_that_never_ran_has_no_record_yet(tmp_path: Path) -> None:
    assert judge_record(tmp_path / "never").verdict is Verdict.OK


def test_a_whole_record_in_use_is_counted_and_left_alone(tmp_path: Path) -> None:
    database = JobDatabase(tmp_path)
    database.load()
    database.save(JOB)
    found = judge_record(tmp_path)
    assert (found.verdict, found.measured.endswith("is whole; 1 jobs")) == (Verdict.OK, True)
    database.save(JOB.changed(job_id=2))
    database.close()


@pytest.mark.parametrize("content", [b"no database" * 1000, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_damaged_record_fails_and_is_not_touched(tmp_path: Path, content: bytes) -> None:
    (tmp_path / DATABASE_FILE).write_bytes(content)
    found = judge_record(tmp_path)
    assert (found.verdict, "is damaged" in found.measured) == (Verdict.FAILURE, True)
    assert "restart job-svc" in found.remedy
    assert (tmp_path / DATABASE_FILE).read_bytes() == content


def test_a_record_that_was_kept_aside_is_a_warning_until_it_is_moved_away(tmp_path: Path) -> None:
    (tmp_path / f"{DATABASE_FILE}.damaged-20260501-120000").touch()
    (tmp_path / f"{DATABASE_FILE}.damaged-20260501-120000-wal").touch()
    found = judge_record(tmp_path)
    assert found.verdict is Verdict.WARNING
    assert found.measured.endswith("kept aside: jobs.sqlite.damaged-20260501-120000")


def test_a_record_that_waits_to_be_put_back_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / COPY_FILE).touch()
    found = judge_record(tmp_path)
    assert found.verdict is Verdict.WARNING
    assert found.remedy.startswith("restart job-svc")


def test_a_record_of_a_newer_version_fails(tmp_path: Path) -> None:
    JobDatabase(tmp_path).load()
    with closing(sqlite3.connect(tmp_path / DATABASE_FILE)) as connection:
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    found = judge_record(tmp_path)
    assert (found.verdict, "newer version" in found.measured) == (Verdict.FAILURE, True)


@pytest.mark.parametrize(
    ("free", "verdict"),
    [
        (KEPT_FREE_BYTES - 1, Verdict.FAILURE),
        (KEPT_FREE_BYTES + 1, Verdict.WARNING),
        (KEPT_FREE_BYTES + 10**9, Verdict.OK),
    ],
)
def test_room_for_the_largest_file_is_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, verdict: Verdict
) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "x").write_bytes(bytes(3_000_000))
    usage = type("Usage", (), {"free": free})
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    found = judge_room(tmp_path, FilesTable())
    assert (found.verdict, "3 MB of 2000 MB in use" in found.measured) == (verdict, True)
