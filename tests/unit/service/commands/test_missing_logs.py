"""An audit log that is gone is detected by what the other logs record of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from usbshare.audit.files import LogFiles
from usbshare.audit.log import AuditLog
from usbshare.service.commands.audit import audit_commands

Verify = Callable[[], tuple[int, str]]


@pytest.fixture
def verify(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Verify:
    monkeypatch.setenv("USBSHARE_HOME", str(tmp_path))

    def run() -> tuple[int, str]:
        found = CliRunner().invoke(audit_commands("serial-svc"), ["verify"])
        return found.exit_code, found.output

    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Logs of two services; serial-svc was started again after camera-svc had written."""
    found = tmp_path / "state" / "audit"
    for name in ("serial-svc", "camera-svc", "serial-svc"):
        with AuditLog(found, name) as audit:
            audit.note("service started")
            audit.note("stop", who="usbshare://s/pc")
    return found


def remove(folder: Path, *patterns: str) -> None:
    for pattern in patterns:
        for path in folder.glob(pattern):
            path.unlink()


def test_the_first_line_of_a_process_records_how_far_other_logs_are(folder: Path) -> None:
    lines = LogFiles(folder, "serial-svc").current.read_text().splitlines()
    told = [json.loads(line).get("other_logs") for line in lines]
    head = json.loads(LogFiles(folder, "camera-svc").head.read_text())
    assert told == [None, None, {"camera-svc": f"2:{head['hash']}"}, None]


def test_logs_that_are_there_are_whole(folder: Path, verify: Verify) -> None:
    code, output = verify()
    assert code == 0, output
    assert output.count("whole: ") == 2


@pytest.mark.parametrize("kinds", [("jsonl", "head"), ("jsonl", "head", "lock")])
def test_a_log_and_its_head_that_are_both_gone_are_missed(
    folder: Path, verify: Verify, kinds: tuple[str, ...]
) -> None:
    remove(folder, *(f"camera-svc.{kind}" for kind in kinds))
    code, output = verify()
    assert code == 1
    assert "camera-svc: the log and its head are both missing" in output
    assert "camera-svc: according to serial-svc.jsonl line 3, it once had line 2" in output


def test_a_log_that_no_other_mentions_is_missed_by_its_lock(folder: Path, verify: Verify) -> None:
    remove(folder, "serial-svc.jsonl", "serial-svc.head")
    code, output = verify()
    assert code == 1
    assert "serial-svc: the log and its head are both missing" in output


def test_a_log_that_was_started_over_is_detected(folder: Path, verify: Verify) -> None:
    remove(folder, "camera-svc.*")
    with AuditLog(folder, "camera-svc") as audit:
        for _ in range(5):
            audit.note("nothing happened")
    code, output = verify()
    assert code == 1
    assert "camera-svc.jsonl line 2: the log was replaced: line 2 had a different hash" in output


def test_a_log_whose_old_files_are_not_kept_any_more_is_whole(
    tmp_path: Path, verify: Verify
) -> None:
    folder = tmp_path / "state" / "audit"
    for name in ("camera-svc", "serial-svc"):
        with AuditLog(folder, name) as audit:
            audit.note("service started")
    with AuditLog(folder, "camera-svc", max_bytes=4096, keep=1, keep_days=0) as audit:
        for number in range(100):
            audit.note("device lost", number=number)
    code, output = verify()
    assert code == 0, output


def test_a_folder_without_any_log_is_missed_where_services_have_run(
    tmp_path: Path, folder: Path, verify: Verify
) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "id").write_text("0123456789ab\n")
    remove(folder, "*")
    code, output = verify()
    assert code == 1
    assert "all logs and their head files are missing" in output


def test_an_invalid_record_of_another_log_is_ignored(folder: Path, verify: Verify) -> None:
    with AuditLog(folder, "pki") as audit:
        audit.note("a", other_logs={"../x": f"1:{'0' * 64}", "y": "no", "z": 7})
        audit.note("b", other_logs=["x"])
    code, output = verify()
    assert code == 0, output
