"""The record of the jobs: what was saved is there, and a damaged one is kept aside."""

from __future__ import annotations

import errno
import logging
import sqlite3
import subprocess
import sys
from contextlib import closing
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


HOWS = ["replaced", "replaced by an older one", "removed", "alone"]


def replace(folder: Path, how: str) -> None:
    """Do to a database in use what a person may do; the older one has job 3."""
    path = folder / DATABASE_FILE
    match how:
        case "removed":
            for each in folder.glob(f"{DATABASE_FILE}*"):
                each.unlink()
        case "alone":
            path.unlink()
        case "replaced":
            (folder / "other").write_text("mine")
            (folder / "other").rename(path)
        case _:
            older, _ = opened(folder / "older")
            older.save(JOB.changed(job_id=3))
            older.close()
            (folder / "older" / DATABASE_FILE).rename(path)


def asides(folder: Path) -> list[Path]:
    found = folder.glob(f"{DATABASE_FILE}.replaced-*")
    return sorted(path for path in found if not path.name.endswith(("-wal", "-shm")))


def numbers_in(path: Path) -> list[int]:
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return [number for (number,) in database.execute("SELECT job_id FROM jobs")]


@pytest.mark.parametrize("how", HOWS)
def test_a_database_that_is_replaced_while_it_is_in_use_is_written_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    database, _ = opened(tmp_path)
    database.save(JOB)
    replace(tmp_path, how)
    for number in (8, 9):
        database.save(JOB.changed(job_id=number))
    database.delete(8)
    again, jobs = opened(tmp_path)
    assert [job.job_id for job in jobs] == [7, 9]
    assert caplog.text.count("was replaced or removed while job-svc was running") == 1
    is_kept = how.startswith("replaced")
    assert (len(asides(tmp_path)), f"kept as {tmp_path}" in caplog.text) == (is_kept, is_kept)
    assert database.kept_aside() == []
    database.close()
    again.close()
    assert [job.job_id for job in opened(tmp_path)[1]] == [7, 9]


def test_each_replaced_file_is_kept_even_several_in_a_second(tmp_path: Path) -> None:
    database, _ = opened(tmp_path)
    database.save(JOB)
    for how in ("replaced by an older one", "replaced", "replaced by an older one"):
        replace(tmp_path, how)
        database.save(JOB)
    stamp = f"{DATABASE_FILE}.replaced-20260501-120000"
    first, second, third = asides(tmp_path)
    assert [each.name for each in (first, second, third)] == [stamp, f"{stamp}-2", f"{stamp}-3"]
    assert (numbers_in(first), second.read_text(), numbers_in(third)) == ([3], "mine", [3])
    database.close()


def test_damaged_ones_of_one_second_are_all_kept_aside(tmp_path: Path) -> None:
    for content in ("first", "second"):
        (tmp_path / DATABASE_FILE).write_text(content)
        opened(tmp_path)[0].close()
    found = JobDatabase(tmp_path).kept_aside()
    assert [(tmp_path / each).read_text() for each in found] == ["first", "second"]


# A process for each step from the moment when the copy is whole; the last one is not killed.
_KILLED_AT_EACH_STEP = """
import os, signal, sys
from pathlib import Path

sys.path.insert(0, sys.argv[1])
from test_database import JOB, opened, replace
from usbshare.job_svc.storage.database import COPY_FILE

STEPS = {"rename", "replace", "unlink", "close", "connect", "execute", "executescript", "chmod"}
has_copy, number = False, 0

def step(frame, event, called):
    global has_copy, left
    has_copy = has_copy or os.path.exists(copy)
    if has_copy and event == "c_call" and called.__name__ in STEPS:
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

while True:
    number += 1
    folder = Path(sys.argv[2], str(number))
    if not (killed := os.fork()):
        database, _ = opened(folder)
        database.save(JOB)
        replace(folder, sys.argv[3])
        left, copy = number, folder / COPY_FILE
        sys.setprofile(step)
        database.save(JOB.changed(job_id=8))
        os._exit(0)
    if os.waitpid(killed, 0)[1] == 0:
        break
"""


@pytest.mark.parametrize("how", HOWS)
def test_a_kill_at_any_step_of_writing_it_anew_loses_no_job(tmp_path: Path, how: str) -> None:
    here = str(Path(__file__).parent)
    subprocess.run([sys.executable, "-c", _KILLED_AT_EACH_STEP, here, tmp_path, how], check=True)
    folders = sorted(tmp_path.iterdir(), key=lambda folder: int(folder.name))
    assert len(folders) > 3
    for folder in folders:
        database, jobs = opened(folder)
        assert [job.job_id for job in jobs if job.job_id < 8] == [7], folder.name
        if how == "replaced by an older one":
            assert [numbers_in(each) for each in asides(folder)] == [[3]], folder.name
        database.save(JOB.changed(job_id=9))
        database.close()
        database, jobs = opened(folder)
        assert [job.job_id for job in jobs if job.job_id != 8] == [7, 9], folder.name
        assert database.kept_aside() == []
        database.close()


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


def test_a_full_disk_is_named_with_its_file_and_what_is_free(tmp_path: Path) -> None:
    database, _ = opened(tmp_path)
    with closing(sqlite3.connect(tmp_path / DATABASE_FILE)) as other:
        (pages,) = other.execute("PRAGMA page_count").fetchone()
    database._in_use.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(OSError, match=r"full \(.*B free\)") as raised:
        database.save(JOB.changed(name="n" * 100_000))
    assert (raised.value.errno, raised.value.filename) == (
        errno.ENOSPC,
        str(tmp_path / DATABASE_FILE),
    )
    database.close()


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
