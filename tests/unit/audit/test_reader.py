"""`audit show` and `audit verify`, as a command line runs them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from usbshare.audit.files import LogFiles
from usbshare.audit.head import read_head
from usbshare.audit.reader import Follower
from usbshare.audit.rotating_writer import Appender
from usbshare.base.errors import ConfigError
from usbshare.base.paths import HOME_VARIABLE
from usbshare.service.commands.audit import audit_commands

SITE = "0123456789ab"
TODAY = datetime.now(UTC)


def line(event: str, minutes: float, **fields: object) -> dict[str, object]:
    time = (datetime.now(UTC) + timedelta(minutes=minutes)).isoformat(timespec="milliseconds")[
        :23
    ] + "Z"
    return {"time": time, "event": event, **fields}


def note(folder: Path, name: str, *lines: dict[str, object], max_bytes: int = 10_000_000) -> None:
    appender = Appender(LogFiles(folder, name), max_bytes, 100)
    for each in lines:
        appender.append([each])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The audit folder of a host with two logs."""
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "id").write_text(f"{SITE}\n")
    folder = tmp_path / "state" / "audit"
    folder.parent.mkdir()
    operator, bench = f"usbshare://{SITE}/operator", f"usbshare://{SITE}/bench"
    note(
        folder,
        "serial-svc",
        line("control taken", -300, who=operator, port="laser", address="192.0.2.7:4"),
        line("stop", -60, who=bench, port="laser", reason="smoke and fire"),
        line("stop", -1, who=operator, port="mill"),
    )
    note(folder, "camera-svc", line("viewer came", -200, who=bench, camera="bed", seconds=1.5))
    return folder


def audit(*arguments: str) -> Result:
    return CliRunner().invoke(audit_commands("serial-svc"), arguments)


def events(*arguments: str) -> Sequence[str]:
    result = audit("show", "--json", *arguments)
    assert result.exit_code == 0, result.output
    return [json.loads(each)["event"] for each in result.output.splitlines()]


@pytest.mark.usefixtures("folder")
def test_show_merges_all_logs_by_time() -> None:
    assert events() == ["control taken", "viewer came", "stop", "stop"]


@pytest.mark.usefixtures("folder")
def test_a_line_is_shown_to_people_with_the_name_of_an_own_identity() -> None:
    output = audit("show").output.splitlines()
    assert output[0].endswith(" control taken 'laser' by operator (192.0.2.7:4)")
    assert output[1].endswith(" viewer came by bench camera=bed seconds=1.5")
    assert output[2].endswith(" stop 'laser' by bench reason=\"smoke and fire\"")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--who", "bench"], ["viewer came", "stop"]),
        (["--who", f"usbshare://{SITE}/bench"], ["viewer came", "stop"]),
        (["--who", "op*"], ["control taken", "stop"]),
        (["--who", "nobody"], []),
        (["--port", "laser"], ["control taken", "stop"]),
        (["--port", "bed"], ["viewer came"]),
        (["--since", "2h"], ["stop", "stop"]),
        (["--since", "1800s"], ["stop"]),
        (["--since", "2d", "--port", "mill"], ["stop"]),
        (["--since", (TODAY + timedelta(days=2)).date().isoformat()], []),
        (["--since", (TODAY - timedelta(days=2)).date().isoformat(), "--port", "mill"], ["stop"]),
    ],
)
@pytest.mark.usefixtures("folder")
def test_show_selects(arguments: list[str], expected: list[str]) -> None:
    assert events(*arguments) == expected


@pytest.mark.usefixtures("folder")
def test_a_time_that_cannot_be_understood_is_bad_usage() -> None:
    result = audit("show", "--since", "yesterday")
    assert result.exit_code == 2
    assert "'yesterday' is neither a duration such as 90s, 30m, 2h, 7d nor a date" in result.output


def test_unreadable_lines_are_skipped(folder: Path) -> None:
    with (folder / "serial-svc.jsonl").open("ab") as file:
        file.write(b"\xff\xfe\n[1]\n{half")
    assert len(events()) == 4


def test_verify_prints_an_anchor_that_a_later_verify_takes(folder: Path) -> None:
    result = audit("verify")
    assert result.exit_code == 0
    whole = [each for each in result.output.splitlines() if each.startswith("serial-svc: whole")]
    anchor = whole[0].rpartition("anchor ")[2]
    note(folder, "serial-svc", line("stop", 0))
    assert audit("verify", "--anchor", anchor).exit_code == 0
    assert audit("verify", "--anchor", f"serial-svc={anchor}").exit_code == 0
    assert (
        audit("verify", "--file", str(folder / "serial-svc.jsonl"), "--anchor", anchor).exit_code
        == 0
    )
    assert audit("verify", "--anchor", f"camera-svc={anchor}").exit_code == 1
    assert audit("verify", "--anchor", "12:xy").exit_code == 2


def test_verify_says_what_is_broken_and_where(folder: Path) -> None:
    path = folder / "serial-svc.jsonl"
    path.write_bytes(path.read_bytes().replace(b"smoke", b"steam"))
    result = audit("verify")
    assert result.exit_code == 1
    assert "serial-svc: serial-svc.jsonl line 2: it was changed: its hash does not match" in (
        result.output.splitlines()
    )
    assert "camera-svc: whole: 1 line in 1 file, 1 to 1" in result.output
    assert "serial-svc: BROKEN: 2 lines in 1 file" in result.output


def test_verify_misses_a_log_of_which_only_the_head_is_left(folder: Path) -> None:
    (folder / "camera-svc.jsonl").unlink()
    result = audit("verify")
    assert result.exit_code == 1
    assert "camera-svc: all lines are missing, 1 to 1" in result.output


def test_a_missing_log_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    for arguments in (["verify"], ["show"], ["verify", "--file", str(tmp_path / "no.jsonl")]):
        result = audit(*arguments)
        assert isinstance(result.exception, ConfigError)


def test_added_lines_are_read_across_full_files_and_never_twice(tmp_path: Path) -> None:
    def added(numbers: range) -> list[int]:
        for number in numbers:
            note(tmp_path, "serial-svc", line("sent", 0, number=number), max_bytes=4096)
        return [entry["number"] for entry in follower.news()]

    follower = Follower(LogFiles(tmp_path, "serial-svc"))
    follower.start()
    try:
        assert added(range(3)) == [0, 1, 2]
        assert added(range(3, 20)) == list(range(3, 20))  # one file was put aside meanwhile
        assert added(range(20, 20)) == []
        assert added(range(20, 23)) == [20, 21, 22]
    finally:
        follower.close()


def test_a_line_that_is_half_written_is_read_once_it_is_whole(tmp_path: Path) -> None:
    files = LogFiles(tmp_path, "serial-svc")
    note(tmp_path, "serial-svc", line("one", 0), line("two", 0))
    content = files.current.read_bytes()
    files.current.write_bytes(content[:-30])
    follower = Follower(files)
    follower.start()
    try:
        assert [entry["event"] for entry in follower.news()] == ["one"]
        files.current.write_bytes(content)
        assert [entry["event"] for entry in follower.news()] == ["two"]
    finally:
        follower.close()


def test_a_broken_head_file_counts_as_none(tmp_path: Path) -> None:
    path = tmp_path / "x.head"
    broken: list[Any] = [b"", b"{}", b"[]", b"\xff", b'{"seq":"x","hash":"","first":1}']
    for content in broken:
        path.write_bytes(content)
        assert read_head(path) is None
