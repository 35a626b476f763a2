"""A machine at work is remembered across the death of the service, whatever the disk does."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from usbshare.common.profiles import GRBL, MARLIN, RAW
from usbshare.serial_svc.active_ports import ActivePorts


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state" / "active-50051"


def test_a_machine_at_work_is_found_by_the_next_service(folder: Path) -> None:
    ActivePorts(folder).note("laser", GRBL, active=True)
    ActivePorts(folder).note("mill", MARLIN, active=True)
    later = ActivePorts(folder)
    assert later.profile_of("laser") is GRBL
    assert later.profile_of("mill") is MARLIN
    assert later.profile_of("lathe") is None


def test_a_machine_that_rests_is_forgotten(folder: Path) -> None:
    active = ActivePorts(folder)
    active.note("laser", GRBL, active=True)
    active.note("laser", GRBL, active=False)
    active.note("laser", GRBL, active=False)
    assert active.profile_of("laser") is None


def test_two_services_do_not_see_each_others_machines(folder: Path) -> None:
    other = ActivePorts(folder.with_name("active-50061"))
    ActivePorts(folder).note("laser", GRBL, active=True)
    other.note("laser", GRBL, active=False)
    assert other.profile_of("laser") is None
    assert ActivePorts(folder).profile_of("laser") is GRBL


@pytest.mark.parametrize("garbage", [b"", b"\xff\xfe", b"ruida\n", b"grbl" * 1000])
def test_a_note_that_says_nothing_still_says_that_it_was_at_work(
    folder: Path, garbage: bytes
) -> None:
    ActivePorts(folder).note("laser", GRBL, active=True)
    (folder / "port-laser").write_bytes(garbage)
    assert ActivePorts(folder).profile_of("laser") is RAW


def test_what_else_lies_in_the_folder_is_left_alone(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "port-laser").mkdir()
    active = ActivePorts(folder)
    active.note("laser", GRBL, active=True)
    active.note("laser", GRBL, active=False)
    assert active.profile_of("laser") is None
    assert (folder / "port-laser").is_dir()


def test_a_folder_that_cannot_be_made_is_told_and_stops_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    active = ActivePorts(tmp_path / "file" / "active")
    active.note("laser", GRBL, active=True)
    assert active.profile_of("laser") is None
    assert "cannot note" in caplog.text


@pytest.mark.skipif(sys.platform == "win32", reason="has no modes")
def test_nobody_else_may_read_it(folder: Path) -> None:
    before = os.umask(0)
    try:
        ActivePorts(folder).note("laser", GRBL, active=True)
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "port-laser").stat().st_mode) == 0o600


_NOTE_FOR_EVER = """
import sys
from pathlib import Path
from usbshare.common.profiles import GRBL
from usbshare.serial_svc.active_ports import ActivePorts
active = ActivePorts(Path(sys.argv[1]))
active.note("laser", GRBL, active=True)
print("noting", flush=True)
while True:
    active.note("laser", GRBL, active=True)
"""


def test_a_kill_at_any_moment_leaves_a_whole_note(folder: Path) -> None:
    for _ in range(5):
        command = [sys.executable, "-c", _NOTE_FOR_EVER, str(folder)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"noting\n"
            process.kill()
        assert (folder / "port-laser").read_text() == "grbl"
