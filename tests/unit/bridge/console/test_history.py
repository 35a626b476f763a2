"""The prompt's history: kept, private, bounded, without secrets, never waited for."""

from __future__ import annotations

import stat
from pathlib import Path

from usbshare.bridge.console.history import MOST_LINES, FileHistory


def typed(path: Path, *lines: str) -> None:
    history = FileHistory(path)
    list(history.load_history_strings())
    for line in lines:
        history.append_string(line)
    history.flush()


def test_lines_are_found_again_the_newest_first(tmp_path: Path) -> None:
    path = tmp_path / "state" / "console_history"
    typed(path, "help", "$I")
    typed(path, "status")
    assert list(FileHistory(path).load_history_strings()) == ["status", "$I", "help"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_code_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "console_history"
    typed(path, "confirm 123456", " Confirm 654321", "help")
    assert path.read_text() == "help\n"


def test_the_history_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "console_history"
    path.write_text("".join(f"G0 X{number}\n" for number in range(5 * MOST_LINES)))
    typed(path, "help")
    lines = path.read_text().splitlines()
    assert len(lines) == MOST_LINES
    assert lines[-2:] == [f"G0 X{5 * MOST_LINES - 1}", "help"]


def test_without_a_file_the_history_lasts_for_one_session(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    typed(tmp_path / "file" / "console_history", "help")
    (tmp_path / "folder").mkdir()
    typed(tmp_path / "folder", "help")
