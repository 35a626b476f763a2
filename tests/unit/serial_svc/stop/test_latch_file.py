"""A latch outlives the service, the disk's troubles and the name of its port; it fails closed."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usbshare.line.physical_device import PhysicalDevice
from usbshare.serial_svc.line.latch import Latch, LatchCause
from usbshare.serial_svc.line.port_config import PortConfig
from usbshare.serial_svc.stop import latch_file
from usbshare.serial_svc.stop.latch_file import NOTE_BYTES, Found, LatchNotes, read_notes

NOW = datetime(2026, 11, 28, 22, 0, tzinfo=UTC)
LASER = PortConfig("laser", "/dev/ttyUSB0")
RENAMED = PortConfig("cutter", "/dev/serial/by-path/elsewhere")
CH340 = PhysicalDevice(0x1A86, 0x7523, "", "0000:00:14.0/1")
FTDI = PhysicalDevice(0x0403, 0x6001, "X1", "0000:00:14.0/2")


class Keeper:
    """Does at once what it is told to keep, unless its disk is full."""

    def __init__(self) -> None:
        self.failures: list[OSError] = []

    def put(self, key: str, work: Callable[[], object]) -> None:
        try:
            work()
        except OSError as error:
            self.failures.append(error)


class Host:
    """A state folder and the services that use it, one after another."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = NOW
        self.keeper = Keeper()

    def start(self, owner: str = "50051") -> LatchNotes:
        found = read_notes(self.folder, lambda: self.now)
        return LatchNotes(self.folder, owner, found, self.keeper, lambda: self.now)

    def stop(self, latch: Latch, who: str = "bob") -> None:
        latch.set(who, "smoke")
        latch.keep()

    @property
    def files(self) -> list[Path]:
        return sorted(self.folder.iterdir())


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path / "state" / "latches")


def release(latch: Latch) -> None:
    latch.release(latch.epoch, "laser")
    latch.keep()


def test_a_first_start_latches_nothing(host: Host) -> None:
    assert host.start().of(LASER).record is None


def test_a_latch_and_its_cause_are_found_by_the_next_service(host: Host) -> None:
    host.stop(host.start().of(LASER))
    record = host.start().of(LASER).record
    assert record is not None
    assert (record.who, record.why, record.at) == ("bob", "smoke", NOW)
    assert record.cause is LatchCause.EMERGENCY_STOP


def test_a_lost_job_latches_across_a_restart_too(host: Host) -> None:
    latch = host.start().of(LASER)
    latch.set("link-loss policy", "26 bytes lost", LatchCause.JOB_LOST)
    latch.keep()
    record = host.start().of(LASER).record
    assert record is not None
    assert record.cause is LatchCause.JOB_LOST


def test_a_stop_is_not_forgotten_for_a_job_that_was_lost_later(host: Host) -> None:
    """Two services had the device, one after the other: a reset may release a lost job only."""
    host.stop(host.start("50051").of(LASER))
    other = PortConfig("laser", "/dev/ttyUSB9")
    latch = host.start("50061").of(other)
    host.now += timedelta(minutes=1)
    latch.set("link-loss policy", "26 bytes lost", LatchCause.JOB_LOST)
    latch.keep()
    record = host.start("50061").of(PortConfig("laser", "/dev/ttyUSB0")).record
    assert record is not None
    assert record.cause is LatchCause.EMERGENCY_STOP


def test_a_re_armed_port_is_not_latched_by_the_next_service(host: Host) -> None:
    latch = host.start().of(LASER)
    host.stop(latch)
    release(latch)
    assert host.start().of(LASER).record is None


def test_an_epoch_never_comes_again_though_the_clock_goes_back(host: Host) -> None:
    latch = host.start().of(LASER)
    for _ in range(5):
        latch.advance()
    latch.keep()
    host.now -= timedelta(days=9000)
    assert host.start().of(LASER).epoch > latch.epoch


def test_an_epoch_never_comes_again_though_nothing_could_be_noted(host: Host) -> None:
    host.folder.parent.mkdir()
    host.folder.write_text("a file in its place")
    latch = host.start().of(LASER)
    latch.advance()
    host.now += timedelta(seconds=2)
    assert host.start().of(LASER).epoch > latch.epoch


def test_a_port_that_was_forgotten_meanwhile_has_the_same_latch(host: Host) -> None:
    notes = host.start()
    notes.of(LASER).set("bob", "")
    assert notes.of(PortConfig("laser", "/dev/ttyUSB7")).record is not None


def test_ports_are_latched_each_for_itself(host: Host) -> None:
    mill = PortConfig("mill", "/dev/ttyUSB1")
    notes = host.start()
    notes.of(mill)
    host.stop(notes.of(LASER))
    later = host.start()
    assert later.of(LASER).record is not None
    assert later.of(mill).record is None


def test_two_simulated_machines_are_latched_each_for_itself(host: Host) -> None:
    one, other = PortConfig("one", "sim://grbl"), PortConfig("other", "sim://grbl")
    host.stop(host.start().of(one))
    later = host.start()
    assert later.of(other).record is None
    assert later.of(one).record is not None


@pytest.mark.parametrize(
    ("owner", "config"),
    [
        ("50051", PortConfig("cutter", "/dev/ttyUSB0")),
        ("50061", LASER),
        ("50061", PortConfig("cutter", "/dev/ttyUSB0")),
        ("50051", PortConfig("laser", "/dev/ttyACM0")),
    ],
    ids=["another name", "another address", "another name and address", "another source"],
)
def test_a_latch_follows_the_device_and_the_name_until_it_is_released_once(
    host: Host, owner: str, config: PortConfig
) -> None:
    host.stop(host.start().of(LASER))
    latch = host.start(owner).of(config)
    assert latch.record is not None
    release(latch)
    assert host.start(owner).of(config).record is None
    assert host.start().of(LASER).record is None


def stopped_with(host: Host, device: PhysicalDevice) -> None:
    """Stop the laser, whose device that is."""
    latch = host.start().of(LASER)
    latch.device_opened(device)
    host.stop(latch)


@pytest.mark.parametrize("device", [CH340, FTDI], ids=["no serial number", "a serial number"])
@pytest.mark.parametrize("owner", ["50051", "50061"])
def test_a_latch_follows_the_physical_device_until_it_is_released_once(
    host: Host, owner: str, device: PhysicalDevice
) -> None:
    stopped_with(host, device)
    latch = host.start(owner).of(RENAMED)
    before = latch.epoch
    latch.device_opened(device)
    assert latch.record is not None
    assert (latch.record.who, latch.record.why) == ("bob", "smoke")
    assert latch.epoch > before
    latch.keep()
    assert host.start(owner).of(RENAMED).record is not None
    release(latch)
    later = host.start(owner).of(RENAMED)
    later.device_opened(device)
    assert later.record is None
    assert host.start().of(LASER).record is None


def test_a_released_latch_does_not_return_with_the_device(host: Host) -> None:
    stopped_with(host, CH340)
    latch = host.start().of(RENAMED)
    latch.device_opened(CH340)
    release(latch)
    latch.device_opened(CH340)
    assert latch.record is None


def test_a_latch_follows_a_serial_number_to_another_socket(host: Host) -> None:
    stopped_with(host, FTDI)
    latch = host.start().of(RENAMED)
    latch.device_opened(replace(FTDI, socket="0000:00:14.0/4"))
    assert latch.record is not None


@pytest.mark.parametrize(
    "other",
    [
        replace(CH340, socket="0000:00:14.0/4"),
        replace(CH340, interface="1"),
        FTDI,
    ],
    ids=["a twin without serial number", "another interface", "another device"],
)
def test_a_latch_does_not_follow_to_another_device(host: Host, other: PhysicalDevice) -> None:
    stopped_with(host, CH340)
    latch = host.start().of(RENAMED)
    latch.device_opened(other)
    assert latch.record is None


def test_a_known_identical_device_is_not_latched_for_the_other(host: Host) -> None:
    twin = replace(FTDI, socket="0000:00:14.0/4")
    latch = host.start().of(RENAMED)
    latch.device_opened(twin)
    latch.keep()
    stopped_with(host, FTDI)
    latch = host.start().of(RENAMED)
    latch.device_opened(twin)
    assert latch.record is None


def test_a_name_that_got_another_device_while_latched_hands_the_latch_on(host: Host) -> None:
    """The name is latched, and so is the device, whichever is opened first, or much later."""
    stopped_with(host, CH340)
    notes = host.start()
    latch = notes.of(PortConfig("laser", "/dev/ttyUSB5"))
    latch.device_opened(FTDI)
    latch.keep()
    assert latch.record is not None
    later = host.start().of(RENAMED)
    later.device_opened(CH340)
    assert later.record is not None


def test_two_ports_of_one_service_with_one_device_are_latched_together(host: Host) -> None:
    notes = host.start()
    one, other = notes.of(LASER), notes.of(RENAMED)
    one.device_opened(CH340)
    host.stop(one)
    other.device_opened(CH340)
    assert other.record is not None
    release(other)
    assert host.start().of(LASER).record is not None


def test_a_port_that_takes_anothers_source_leaves_it_its_note(host: Host) -> None:
    host.stop(host.start().of(LASER))
    notes = host.start()
    moved = notes.of(PortConfig("laser", "/dev/ttyUSB9"))
    renamed = notes.of(PortConfig("cutter", "/dev/ttyUSB0"))
    assert moved.record is not None
    assert renamed.record is not None
    release(renamed)
    assert host.start().of(PortConfig("laser", "/dev/ttyUSB9")).record is not None


def test_two_services_with_ports_of_one_name_do_not_undo_each_others_latches(host: Host) -> None:
    other = PortConfig("laser", "/dev/ttyUSB1")
    host.stop(host.start("50051").of(LASER))
    latch = host.start("50061").of(other)
    assert latch.record is None
    release(latch)
    assert host.start("50051").of(LASER).record is not None


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"\x00" * NOTE_BYTES,
        b"{}",
        b"[" * NOTE_BYTES,
        b"\xff\xfe",
        b'{"port": "laser", "source": "x", "epoch": 1e999, "latched": null}',
        b'{"port": "laser", "source": "x", "epoch": -1, "latched": null}',
        b'{"port": "laser", "source": "x", "epoch": 99999999999999999999, "latched": null}',
        b'{"port": "laser", "source": "x", "epoch": 1, "latched": true}',
        b'{"port": "laser", "source": "x", "epoch": 1, "latched": {"by": "bob"}}',
        b'{"port": "laser", "source": "x", "epoch": 1, "latched": null, "devices": ["x"]}',
    ],
)
def test_a_damaged_note_counts_as_a_latch_until_it_is_released(host: Host, garbage: bytes) -> None:
    host.start().of(LASER)
    (path,) = host.files
    path.write_bytes(garbage)
    latch = host.start().of(LASER)
    assert latch.record is not None
    assert str(path) in latch.record.why
    assert 0 < latch.record.epoch <= latch.epoch
    release(latch)
    assert host.start().of(LASER).record is None


@given(cut=st.integers(0, NOTE_BYTES), rest=st.binary(max_size=64))
def test_a_torn_note_never_undoes_a_latch(cut: int, rest: bytes) -> None:
    latch = Latch(7)
    free = latch_file._text_of(LASER, latch)
    latch.set("bob", "smoke")
    latched = latch_file._text_of(LASER, latch)
    end = latched.rindex(b"}") + 1
    torn = latched[: min(cut, end)] + rest
    assert torn[: len(free)].strip() != free.strip()


def test_a_note_that_may_not_be_read_counts_as_a_latch(host: Host) -> None:
    host.start().of(LASER)
    (path,) = host.files
    path.unlink()
    path.mkdir()  # as root may read what has no modes
    record = host.start().of(LASER).record
    assert record is not None
    assert "not a regular file" in record.why


def test_a_folder_that_cannot_be_read_latches_every_port(host: Host) -> None:
    host.folder.parent.mkdir()
    host.folder.write_text("")
    for config in (LASER, PortConfig("mill", "/dev/ttyUSB1")):
        record = host.start().of(config).record
        assert record is not None
        assert "cannot be read" in record.why


def test_a_folder_that_hangs_latches_every_port(host: Host) -> None:
    found = Found(trouble=f"{host.folder} does not answer")
    notes = LatchNotes(host.folder, "50051", found, host.keeper)
    record = notes.of(LASER).record
    assert record is not None
    assert "does not answer" in record.why


def test_a_full_disk_takes_a_latch_all_the_same(host: Host, tmp_path: Path) -> None:
    """A note is written over itself: it grows by nothing and needs no second file."""
    latch = host.start().of(LASER)
    (path,) = host.files
    before = path.stat()
    host.stop(latch)
    after = path.stat()
    assert (before.st_ino, before.st_size, before.st_blocks) == (
        after.st_ino,
        after.st_size,
        after.st_blocks,
    )
    assert host.files == [path]
    assert host.start().of(LASER).record is not None


def test_texts_of_any_length_fit(host: Host) -> None:
    config = PortConfig("laser", "socket://" + "ü" * 5000)
    latch = host.start().of(config)
    latch.set("é" * 5000, "\U0001f525" * 5000)
    latch.keep()
    (path,) = host.files
    assert path.stat().st_size == NOTE_BYTES
    record = host.start().of(config).record
    assert record is not None
    assert record.who.startswith("ééé")
    assert host.keeper.failures == []


@pytest.mark.skipif(sys.platform == "win32", reason="has no modes")
def test_no_other_user_may_read_it(host: Host) -> None:
    before = os.umask(0)
    try:
        host.start().of(LASER)
    finally:
        os.umask(before)
    assert stat.S_IMODE(host.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(host.files[0].stat().st_mode) == 0o600


_LATCH_FOR_EVER = """
import sys
from pathlib import Path
from usbshare.serial_svc.stop.latch_file import LatchNotes, read_notes
from usbshare.serial_svc.line.port_config import PortConfig
class Keeper:
    def put(self, key, work):
        work()
folder = Path(sys.argv[1])
latch = LatchNotes(folder, "50051", read_notes(folder), Keeper()).of(PortConfig("laser", "dev"))
latch.set("bob", "smoke")
latch.keep()
print("latched", flush=True)
while True:
    latch.set("bob", "smoke")
    latch.keep()
"""


def test_a_kill_at_any_moment_leaves_the_port_latched(host: Host) -> None:
    for _ in range(5):
        command = [sys.executable, "-c", _LATCH_FOR_EVER, str(host.folder)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"latched\n"
            process.kill()
        assert host.start().of(PortConfig("laser", "dev")).record is not None
