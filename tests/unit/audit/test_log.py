"""The writer of an audit log: it neither waits nor fails, and loses nothing that it can keep."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fakes.audit import written_log
from fakes.clock import FakeClock
from fakes.waiting import until
from usbshare.audit import log as log_module
from usbshare.audit import rotating_writer as audit_writer
from usbshare.audit.files import LogFiles, snapshot
from usbshare.audit.head import read_head
from usbshare.audit.log import AuditLog
from usbshare.audit.recorder import NullAudit
from usbshare.audit.rotating_writer import Appender
from usbshare.audit.verification import Verdict, verify_log

NAME = "serial-svc"


def entries(folder: Path, name: str = NAME) -> list[dict[str, Any]]:
    with snapshot(LogFiles(folder, name)) as held:
        return [json.loads(line) for file in held.files for line in file.lines()]


def verdict_on(folder: Path, name: str = NAME) -> Verdict:
    with snapshot(LogFiles(folder, name)) as held:
        return verify_log(held)


def test_a_line_says_who_did_what_where_and_when(tmp_path: Path) -> None:
    moment = datetime(2026, 10, 7, 12, 3, 12, 345678, UTC)
    with AuditLog(tmp_path, NAME, utc=lambda: moment) as audit:
        audit.note("stop", who="usbshare://s/pc", address="192.0.2.7:4", port="laser", latched=True)
    (line,) = entries(tmp_path)
    assert list(line) == [
        *("seq", "time", "event", "who", "address", "port", "latched", "prev", "hash")
    ]
    assert line["time"] == "2026-10-07T12:03:12.345Z"
    assert line["latched"] is True


def test_a_field_cannot_forge_the_time(tmp_path: Path) -> None:
    fields: dict[str, Any] = {"time": "1970-01-01", "seq": 9}
    with AuditLog(tmp_path, NAME) as audit:
        audit.note("x", **fields)
    (line,) = entries(tmp_path)
    assert line["time"] > "2020"
    assert line["seq"] == 1


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes")
def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    with AuditLog(folder, NAME) as audit:
        audit.note("x")
    modes = {path.name: path.stat().st_mode & 0o777 for path in (folder, *folder.iterdir())}
    assert modes.pop("audit") == 0o700
    assert set(modes.values()) == {0o600}


def test_the_chain_is_carried_over_full_files_and_the_oldest_go(tmp_path: Path) -> None:
    with AuditLog(tmp_path, NAME, max_bytes=4096, keep=3, keep_days=0) as audit:
        for number in range(300):
            audit.note("sent", bytes=number)
    verdict, head = verdict_on(tmp_path), read_head(LogFiles(tmp_path, NAME).head)
    assert not verdict.faults
    assert verdict.tip.seq == 300
    assert verdict.first > 1
    assert head is not None
    assert head.first == verdict.first
    full = LogFiles(tmp_path, NAME).all_full()
    assert len(full) == 3
    assert all(path.stat().st_size <= 4096 for path in full)


def test_nothing_goes_that_is_younger_than_what_is_to_be_kept(tmp_path: Path) -> None:
    files = LogFiles(tmp_path, NAME)
    appender = Appender(files, max_bytes=4096, keep=3, keep_days=30)
    for number in range(300):
        appender.append([{"event": "sent", "bytes": number}])
    assert verdict_on(tmp_path).first == 1
    old = files.all_full()
    assert len(old) > 6
    days_ago_31 = time.time() - 31 * 86_400
    for path in old[:2]:
        os.utime(path, (days_ago_31, days_ago_31))
    for number in range(30):
        appender.append([{"event": "sent", "bytes": number}])
    assert not set(old[:2]) & set(files.all_full())
    assert set(old[2:]) <= set(files.all_full())
    assert not verdict_on(tmp_path).faults


def test_a_lost_oldest_file_is_missed(tmp_path: Path) -> None:
    files = written_log(tmp_path, 100, max_bytes=4096, keep=3)
    oldest = files.all_full()[0]
    oldest.unlink()
    assert "missing at the beginning" in verdict_on(tmp_path).faults[0]


def test_the_next_process_continues_with_the_chain(tmp_path: Path) -> None:
    for number in range(3):
        with AuditLog(tmp_path, NAME) as audit:
            audit.note("started", number=number)
    assert [line["seq"] for line in entries(tmp_path)] == [1, 2, 3]
    assert not verdict_on(tmp_path).faults


def test_several_may_write_to_one_log(tmp_path: Path) -> None:
    def write(number: int) -> None:
        with AuditLog(tmp_path, NAME, max_bytes=4096, keep=1000) as audit:
            for count in range(100):
                audit.note("sent", number=number, count=count)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    verdict = verdict_on(tmp_path)
    assert (verdict.lines, verdict.faults) == (400, [])


def test_a_cut_tail_stays_to_be_seen_when_the_log_continues(tmp_path: Path) -> None:
    files = written_log(tmp_path, 10)
    lines = files.current.read_bytes().splitlines(keepends=True)
    files.current.write_bytes(b"".join(lines[:6]))
    with AuditLog(tmp_path, NAME) as audit:
        audit.note("started")
    assert verdict_on(tmp_path).faults == [
        "serial-svc.jsonl line 7: lines 7 to 10 are missing before it"
    ]


def test_an_emptied_log_is_missed_when_it_continues(tmp_path: Path) -> None:
    files = written_log(tmp_path, 10)
    files.current.unlink()
    with AuditLog(tmp_path, NAME) as audit:
        audit.note("started")
    assert verdict_on(tmp_path).faults == ["lines 1 to 10 are missing at the beginning"]


def test_a_lost_head_stays_to_be_seen_when_the_log_continues(tmp_path: Path) -> None:
    files = written_log(tmp_path, 10)
    files.head.unlink()
    with AuditLog(tmp_path, NAME) as audit:
        audit.note("started")
    assert verdict_on(tmp_path).faults == [
        (
            "serial-svc.jsonl line 11: the head file was missing at that time; earlier lines "
            "may have been cut off"
        )
    ]


def test_a_lost_head_is_reported_once_however_often_the_log_is_written(tmp_path: Path) -> None:
    files = written_log(tmp_path, 3)
    files.head.unlink()
    appender = Appender(files, 10_000_000, 3)
    for _ in range(3):
        appender.append([{"event": "started"}])
    events = [line["event"] for line in entries(tmp_path)][3:]
    assert events == ["head file lost", "started", "started", "started"]
    Appender(files, 10_000_000, 3).append([{"event": "started"}])
    assert [line["event"] for line in entries(tmp_path)][7:] == ["started"]


def test_a_lost_head_is_reported_also_if_the_disk_was_full_then(tmp_path: Path) -> None:
    files = written_log(tmp_path, 3)
    files.head.unlink()
    appender = Appender(files, 10_000_000, 3)
    with pytest.MonkeyPatch.context() as full:
        full.setattr(audit_writer, "_write_whole", fail_to_write)
        with pytest.raises(OSError, match="no room"):
            appender.append([{"event": "started"}])
    appender.append([{"event": "started"}])
    assert [line["event"] for line in entries(tmp_path)][3:] == ["head file lost", "started"]


def fail_to_write(*_: object) -> None:
    raise OSError("no room")


async def test_a_running_writer_knows_what_was_cut_head_and_all(tmp_path: Path) -> None:
    files = LogFiles(tmp_path, NAME)
    with AuditLog(tmp_path, NAME) as audit:
        audit.note("one")
        audit.note("two")
        await until(lambda: files.current.exists() and files.current.read_bytes().count(b"\n") == 2)
        await until(lambda: (head := read_head(files.head)) is not None and head.tip.seq == 2)
        files.current.write_bytes(files.current.read_bytes().splitlines(keepends=True)[0])
        files.head.unlink()
        audit.note("three")
    assert any("missing before it" in fault for fault in verdict_on(tmp_path).faults)


def test_an_incomplete_line_is_dropped_and_the_chain_continues(tmp_path: Path) -> None:
    files = written_log(tmp_path, 3)
    with files.current.open("ab") as file:
        file.write(b'{"seq":4,"event":"se')
    with AuditLog(tmp_path, NAME) as audit:
        audit.note("started")
    assert [line["seq"] for line in entries(tmp_path)] == [1, 2, 3, 4]
    assert not verdict_on(tmp_path).faults


async def test_a_full_disk_is_trouble_until_there_is_room_and_nothing_is_lost(
    tmp_path: Path, full_disk: Callable[[Path], Callable[[], None]]
) -> None:
    make_room = full_disk(tmp_path / f"{NAME}.jsonl")
    with AuditLog(tmp_path, NAME) as audit:
        audit.note("one")
        await until(lambda: "space" in audit.trouble)
        audit.note("two")
        make_room()
        await until(lambda: not audit.trouble)
        audit.note("three")
    assert [line["event"] for line in entries(tmp_path)] == ["one", "two", "three"]
    assert not verdict_on(tmp_path).faults


async def test_too_much_for_a_full_disk_is_counted(
    tmp_path: Path,
    full_disk: Callable[[Path], Callable[[], None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(log_module, "MOST_WAITING", 10)
    make_room = full_disk(tmp_path / f"{NAME}.jsonl")
    with AuditLog(tmp_path, NAME) as audit:
        for number in range(25):
            audit.note("sent", number=number)
        await until(lambda: audit.trouble)
        make_room()
        await until(lambda: not audit.trouble)
        audit.note("after")
    found = entries(tmp_path)
    assert [line["number"] for line in found[:10]] == list(range(10))
    assert sum(line.get("count", 0) for line in found if line["event"] == "lines lost") == 15
    assert not verdict_on(tmp_path).faults


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], Callable[[], None]]:
    """Return what lets writes fail as on a full disk, and itself returns what makes room."""
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    monkeypatch.setattr(log_module, "RETRY_S", 0.01)

    def fill(path: Path) -> Callable[[], None]:
        path.symlink_to("/dev/full")
        return path.unlink

    return fill


class HungDisk:
    """Takes calls and lets none return until it is told to."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.goes_on = threading.Event()

    def __call__(self, *_: object) -> Any:
        self.asked.set()
        self.goes_on.wait()
        raise OSError("it hung")


@pytest.fixture
def hung_disk() -> Iterator[HungDisk]:
    disk = HungDisk()
    yield disk
    disk.goes_on.set()


async def test_noting_does_not_wait_for_a_disk_that_is_asked_for_its_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hung_disk: HungDisk
) -> None:
    monkeypatch.setattr(log_module, "LOOK_S", 0.01)
    monkeypatch.setattr(shutil, "disk_usage", hung_disk)
    with AuditLog(tmp_path, NAME) as audit:
        await until(hung_disk.asked.is_set)
        noting = threading.Thread(target=audit.note, args=("stop",), daemon=True)
        noting.start()
        try:
            await until(lambda: not noting.is_alive())
        finally:
            hung_disk.goes_on.set()
    assert [line["event"] for line in entries(tmp_path)] == ["stop"]


async def test_a_disk_that_hangs_is_trouble_and_is_reported_once(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    hung_disk: HungDisk,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(log_module, "LOOK_S", 0.01)
    monkeypatch.setattr(log_module, "RETRY_S", 0.01)
    clock = FakeClock()
    with AuditLog(tmp_path, NAME, clock=clock) as audit:
        with monkeypatch.context() as hanging:
            hanging.setattr(Appender, "append", hung_disk)
            audit.note("stop")
            await until(hung_disk.asked.is_set)
            assert not audit.trouble
            clock.advance(log_module.LONGEST_WAIT_S + 1)
            assert "written for 6 s" in audit.trouble
            await until(lambda: "the disk hangs" in caplog.text)
        hung_disk.goes_on.set()
        await until(lambda: not audit.trouble)
        await until(lambda: "its disk responds again" in caplog.text)
    assert caplog.text.count("the disk hangs") == 1
    assert [line["event"] for line in entries(tmp_path)] == ["stop"]


async def test_a_disk_that_hangs_does_not_keep_a_service_from_ending(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hung_disk: HungDisk
) -> None:
    monkeypatch.setattr(Appender, "append", hung_disk)
    audit = AuditLog(tmp_path, NAME)
    audit.start()
    audit.note("stop")
    await until(hung_disk.asked.is_set)
    audit.close(timeout_s=0.05)


async def test_little_room_is_trouble_before_a_line_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_module, "LEAST_FREE_BYTES", 1 << 62)
    with AuditLog(tmp_path, NAME) as audit:
        audit.note("started")
        await until(lambda: "kB left" in audit.trouble)
    assert [line["event"] for line in entries(tmp_path)] == ["started"]


async def test_a_folder_that_cannot_be_made_is_trouble(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with AuditLog(tmp_path / "file" / "audit", NAME) as audit:
        audit.note("started")
        await until(lambda: audit.trouble)


@pytest.mark.skipif(sys.platform == "win32", reason="needs RLIMIT_FSIZE")
def test_a_line_that_was_cut_by_a_limit_is_taken_back(tmp_path: Path) -> None:
    program = f"""
import resource, signal, time
from pathlib import Path
from usbshare.audit.log import AuditLog
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
with AuditLog(Path({str(tmp_path)!r}), {NAME!r}) as audit:
    for number in range(20):
        audit.note("sent", number=number)
    while not audit.trouble:
        time.sleep(0.01)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60, capture_output=True)
    content = LogFiles(tmp_path, NAME).current.read_bytes()
    assert content.endswith(b"\n") or content == b""
    verdict = verdict_on(tmp_path) if content else None
    assert verdict is None or not (verdict.faults or verdict.remarks)


def test_a_log_of_nothing_notes_nothing() -> None:
    audit = NullAudit()
    audit.note("x", who="y")
    assert not audit.trouble


def total_bytes(folder: Path) -> int:
    """Return the size of a log; a file that is renamed meanwhile makes it look again."""
    while True:
        with suppress(FileNotFoundError):
            return sum(path.stat().st_size for path in folder.glob("*.jsonl"))


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
def test_a_log_survives_its_writers_death_at_any_moment(tmp_path: Path) -> None:
    program = f"""
from pathlib import Path
from usbshare.audit.log import AuditLog
with AuditLog(Path({str(tmp_path)!r}), {NAME!r}, max_bytes=20_000, keep=1000) as audit:
    for number in range(10**9):
        audit.note("sent", number=number, text="x" * (number % 700))
        if number % 50 == 0:
            print(number, flush=True)
"""
    lines_before = 0
    for run in range(20):
        size_before = total_bytes(tmp_path)
        writer = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        try:
            while total_bytes(tmp_path) <= size_before:
                writer.stdout.readline()
            for _ in range(run % 7):
                writer.stdout.readline()
        finally:
            os.kill(writer.pid, signal.SIGKILL)
            writer.stdout.close()
            writer.wait()
        verdict = verdict_on(tmp_path)
        assert not verdict.faults
        assert len(verdict.remarks) <= 1
        assert verdict.lines > lines_before
        lines_before = verdict.lines
    with AuditLog(tmp_path, NAME) as audit:
        audit.note("started")
    verdict = verdict_on(tmp_path)
    assert (verdict.faults, verdict.remarks) == ([], [])
    assert verdict.lines == lines_before + 1
