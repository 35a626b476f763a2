"""A machine at work is remembered across the death of the service, whatever the disk does."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from usbshare.base.background_writer import FIRST_TIMEOUT_S, Background, Work
from usbshare.line.profiles import GRBL, MARLIN, RAW, Profile
from usbshare.serial_svc.stop.active_ports import ActivePorts

PATIENCE_S = 20.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state" / "active-50051"


@contextmanager
def service(folder: Path) -> Iterator[ActivePorts]:
    """Have what a service knows, from its start to its end."""
    background = Background("notes", retry_s=0.01)
    active = ActivePorts(folder, background)
    active.load()
    yield active
    background.close(PATIENCE_S)


def noted(folder: Path) -> ActivePorts:
    with service(folder) as active:
        return active


def at_work(folder: Path, port_id: str, profile: Profile) -> None:
    with service(folder) as active:
        active.note(port_id, profile, active=True)


def test_a_machine_at_work_is_found_by_the_next_service(folder: Path) -> None:
    at_work(folder, "laser", GRBL)
    at_work(folder, "mill", MARLIN)
    later = noted(folder)
    assert later.profile_of("laser") is GRBL
    assert later.profile_of("mill") is MARLIN
    assert later.profile_of("lathe") is None


def test_a_machine_that_rests_is_forgotten(folder: Path) -> None:
    with service(folder) as active:
        active.note("laser", GRBL, active=True)
        active.note("laser", GRBL, active=False)
        active.note("laser", GRBL, active=False)
    assert noted(folder).profile_of("laser") is None


def test_a_port_that_was_acted_on_is_not_found_again(folder: Path) -> None:
    at_work(folder, "laser", GRBL)
    with service(folder) as active:
        assert active.profile_of("laser") is active.profile_of("laser") is GRBL
        active.note("laser", GRBL, active=True)
        assert active.profile_of("laser") is None


def test_two_services_do_not_see_each_others_machines(folder: Path) -> None:
    at_work(folder, "laser", GRBL)
    with service(folder.with_name("active-50061")) as other:
        other.note("laser", GRBL, active=False)
    assert noted(folder.with_name("active-50061")).profile_of("laser") is None
    assert noted(folder).profile_of("laser") is GRBL


@pytest.mark.parametrize("garbage", [b"", b"\xff\xfe", b"ruida\n", b"grbl" * 1000])
def test_a_note_that_says_nothing_still_says_that_it_was_at_work(
    folder: Path, garbage: bytes
) -> None:
    at_work(folder, "laser", GRBL)
    (folder / "port-laser").write_bytes(garbage)
    assert noted(folder).profile_of("laser") is RAW


def test_other_files_in_the_folder_are_left_alone(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "port-laser").mkdir()
    with service(folder) as active:
        active.note("laser", GRBL, active=True)
        active.note("laser", GRBL, active=False)
    assert noted(folder).profile_of("laser") is None
    assert (folder / "port-laser").is_dir()


def test_a_folder_that_cannot_be_made_is_reported_and_every_machine_counts_as_at_work(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    with service(tmp_path / "file" / "active") as active:
        active.note("laser", GRBL, active=True)
    assert noted(tmp_path / "file" / "active").profile_of("laser") is RAW  # nobody can tell
    assert f"cannot write {tmp_path / 'file'}" in caplog.text


@pytest.mark.skipif(sys.platform == "win32", reason="has no modes")
def test_no_other_user_may_read_it(folder: Path) -> None:
    before = os.umask(0)
    try:
        at_work(folder, "laser", GRBL)
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "port-laser").stat().st_mode) == 0o600


_NOTE_FOR_EVER = """
import sys
from pathlib import Path
from usbshare.base.background_writer import Background
from usbshare.line.profiles import GRBL
from usbshare.serial_svc.stop.active_ports import ActivePorts
active = ActivePorts(Path(sys.argv[1]), Background("notes"))
active.note("laser", GRBL, active=True)
while not (Path(sys.argv[1]) / "port-laser").exists():
    pass  # a slow disk
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


class Counting(Background):
    """Counts for how many notes a first byte waits, however long a busy machine takes."""

    def __init__(self) -> None:
        super().__init__("notes")
        self.timeout_s = PATIENCE_S
        self.waits = 0

    def put_first(self, key: str, work: Work, timeout_s: float = FIRST_TIMEOUT_S) -> bool:
        assert timeout_s == FIRST_TIMEOUT_S
        self.waits += not self._is_late
        return super().put_first(key, work, self.timeout_s)


def test_the_note_is_there_before_the_first_byte_and_a_disk_that_hangs_holds_it_up_once(
    folder: Path,
) -> None:
    goes_on = threading.Event()
    background = Counting()
    active = ActivePorts(folder, background)
    active.note("laser", GRBL, active=True)
    assert (folder / "port-laser").read_text() == "grbl"
    background.put("a disk that hangs", lambda: goes_on.wait(PATIENCE_S))
    background.timeout_s = FIRST_TIMEOUT_S
    for _ in range(200):
        active.note("laser", GRBL, active=False)
        active.note("laser", GRBL, active=True)
    assert background.waits == 2
    goes_on.set()
    background.close(PATIENCE_S)
    assert (folder / "port-laser").read_text() == "grbl"
