"""A virtual port whose folder goes away, as /run/user/UID does at the last logout."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest
import serial

from fakes.processes import Process, environment, running, serial_service

pytestmark = pytest.mark.apart


def answers(path: str) -> bool:
    with serial.Serial(path, 115200, timeout=20) as port:
        port.write(b"$I\n")
        return b"VER:" in port.read_until(b"ok\r\n")


def test_a_name_that_was_removed_is_made_again(tmp_path: Path) -> None:
    with serial_service(tmp_path / "host", "--insecure") as (_, target):
        home = tmp_path / "pc"
        arguments = ["bridge", "--target", target, "--insecure", "--vcom", "COM10"]
        with running(arguments, home) as bridge:
            path = bridge.wait_for(r"ready: open (\S+COM10)")[1]
            shutil.rmtree(home / "run")
            bridge.wait_for(f"{path} was removed; created it again")
            assert answers(path)
            os.unlink(path)
            again = (
                rf"(?s){path} was removed; created it again.*{path} was removed; created it again"
            )
            _wait_for_text(bridge, again)
            assert answers(path)
        assert not os.path.lexists(path)


def test_a_folder_that_went_and_came_is_followed(tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    with serial_service(tmp_path / "host", "--insecure") as (_, target):
        home = tmp_path / "pc"
        arguments = ["bridge", "--target", target, "--insecure", "--vcom", "COM10"]
        bridge = Process(arguments, {**environment(home), "TMPDIR": str(temporary)})
        try:
            path = bridge.wait_for(r"ready: open (\S+COM10)")[1]
            shutil.rmtree(home / "run")
            (home / "run").touch()  # so that nobody can make it: it is root's, as /run/user is
            elsewhere = bridge.wait_for(rf"{path} is now (\S+COM10)")[1]
            assert Path(elsewhere).is_relative_to(temporary)
            assert answers(elsewhere)
            (home / "run").unlink()
            (home / "run").mkdir(mode=0o700)
            bridge.wait_for(rf"{elsewhere} is now {path}")
            assert answers(path)
            assert not os.path.lexists(elsewhere)
        finally:
            assert bridge.stop() == 0
        assert not os.path.lexists(path)


def test_a_name_that_another_has_taken_is_said_once_and_left_alone(tmp_path: Path) -> None:
    with serial_service(tmp_path / "host", "--insecure") as (_, target):
        link = tmp_path / "laser"
        arguments = ["bridge", "--target", target, "--insecure", "--vcom", str(link)]
        with running(arguments, tmp_path / "pc") as bridge:
            bridge.wait_for("ready: open")
            link.unlink()
            link.write_text("mine")
            bridge.wait_for(f"{link} is gone and cannot be created again: {link} exists")
            assert link.read_text() == "mine"
            link.unlink()
            bridge.wait_for(f"{link} was removed; created it again")
            assert answers(str(link))
            assert len(re.findall("cannot be created again", bridge.output)) == 1


def _wait_for_text(process: Process, pattern: str) -> None:
    """Wait until all that was printed matches."""
    news = process._news
    with news:
        assert news.wait_for(lambda: re.search(pattern, "\n".join(process.lines)), 60)
