"""Each verdict of `serial-svc doctor`, by breaking exactly the thing that it is about."""

from __future__ import annotations

import grp
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.checked_host import RULES, adapter_in, checks_of, rules_in
from usbshare.base.checkup import Judgement, Verdict
from usbshare.base.errors import DeviceError
from usbshare.line.usb.serial_devices import SerialDeviceFound
from usbshare.serial_svc.checkup import brltty, devices
from usbshare.serial_svc.checkup.processes import Processes
from usbshare.serial_svc.checkup.rights import judge_rights
from usbshare.serial_svc.checkup.steps import Examined, examined
from usbshare.serial_svc.settings import PortTable, Settings
from usbshare.trust.site import Site

LASER = SerialDeviceFound("/dev/ttyUSB7", None, 0x1A86, 0x7523, None, None, None, "USB Serial")


@pytest.fixture
def device() -> Iterator[Path]:
    """Return the path of a terminal that nobody else uses."""
    master, slave = os.openpty()
    path = Path(os.ttyname(slave))
    os.close(slave)
    yield path
    os.close(master)


class FakeProc:
    """A /proc with the programs that a test puts there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.locks = root / "locks"
        self.lock_folder = root / "lock-files"
        self.lock_folder.mkdir(parents=True)
        (root / "self").mkdir()
        self.locks.write_text("")

    def add(self, pid: int, name: str, *files: Path, arguments: str = "") -> None:
        folder = self.root / str(pid)
        (folder / "fd").mkdir(parents=True)
        (folder / "comm").write_text(f"{name}\n")
        (folder / "cmdline").write_bytes((arguments or name).replace(" ", "\0").encode())
        for number, file in enumerate(files):
            (folder / "fd" / str(number)).symlink_to(file)

    @property
    def processes(self) -> Processes:
        return Processes(self.root, self.lock_folder)


@pytest.fixture
def proc(tmp_path: Path) -> FakeProc:
    return FakeProc(tmp_path / "proc")


def test_a_device_that_is_there_is_fine_and_its_real_path_is_reported(
    device: Path, tmp_path: Path
) -> None:
    link = tmp_path / "by-id"
    link.symlink_to(device)
    found = devices.judge_presence(str(link), [])
    assert found.verdict is Verdict.OK
    assert found.measured == f"{link} is there, now {device}"


def test_a_device_that_is_not_plugged_in_fails(tmp_path: Path) -> None:
    found = devices.judge_presence(f"{tmp_path}/ttyUSB0", [])
    assert found.verdict is Verdict.FAILURE
    assert found.measured == f"{tmp_path}/ttyUSB0 is not there"
    assert "plugged in" in found.remedy


def test_a_file_that_is_no_device_fails(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.touch()
    assert devices.judge_presence(str(file), []).measured == f"{file} is not a serial device"


def test_a_usb_name_is_looked_up_among_what_is_plugged_in() -> None:
    assert devices.local_path("usb:1a86:7523", [LASER]) == Path("/dev/ttyUSB7")
    with pytest.raises(DeviceError, match="no USB serial device 1a86:7523 is plugged in"):
        devices.local_path("usb:1a86:7523", [])


@pytest.mark.parametrize("source", ["sim://grbl", "socket://10.0.0.7:23", "COM3"])
def test_a_device_is_never_opened_to_check_it(source: str) -> None:
    assert devices.judge_presence(source, []).verdict is Verdict.OK


def test_a_device_that_this_user_may_use_is_fine(device: Path) -> None:
    found = judge_rights(device, may=lambda _: True)
    assert found.verdict is Verdict.OK
    assert "can read and write it (crw" in found.measured


def test_a_device_of_a_group_is_opened_by_joining_it(device: Path) -> None:
    os.chown(device, -1, 20)
    device.chmod(0o660)
    found = judge_rights(device, may=lambda _: False)
    assert found.verdict is Verdict.FAILURE
    assert "(crw-rw----, group dialout)" in found.measured
    assert found.remedy.startswith("`sudo usermod -aG dialout ")


def test_a_device_of_root_alone_needs_a_rule(device: Path) -> None:
    device.chmod(0o600)
    found = judge_rights(device, may=lambda _: False)
    assert found.verdict is Verdict.FAILURE
    assert "udev rule" in found.remedy


def test_a_user_added_to_the_group_after_login_must_log_in_again(
    device: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "ann")
    dialout = grp.struct_group(("dialout", "x", 20, ["ann"]))
    monkeypatch.setattr(grp, "getgrnam", lambda _: dialout)
    os.chown(device, -1, 20)
    device.chmod(0o660)
    assert "log in again" in judge_rights(device, may=lambda _: False).remedy


def test_a_free_device_is_fine(device: Path, proc: FakeProc) -> None:
    proc.add(4711, "picocom", Path("/dev/null"))
    assert devices.judge_holders(device, proc.processes).measured == "no other program"


def test_a_program_that_has_the_device_open_is_named(device: Path, proc: FakeProc) -> None:
    proc.add(4711, "picocom", Path("/dev/null"), device)
    found = devices.judge_holders(device, proc.processes)
    assert found.verdict is Verdict.FAILURE
    assert found.measured == "held by picocom (process 4711)"
    assert "end that program" in found.remedy


def test_the_service_itself_may_have_it(device: Path, proc: FakeProc) -> None:
    command = "/usr/bin/python3 /opt/usbshare/bin/serial-svc --config x.toml"
    proc.add(4711, "serial-svc", device, arguments=command)
    found = devices.judge_holders(device, proc.processes)
    assert found.verdict is Verdict.OK
    assert "which is this service" in found.measured


def test_a_lock_of_another_users_program_is_seen(device: Path, proc: FakeProc) -> None:
    found = device.stat()
    major, minor = os.major(found.st_dev), os.minor(found.st_dev)
    proc.add(815, "cura")
    proc.locks.write_text(
        f"1: FLOCK  ADVISORY  WRITE 815 {major:02x}:{minor:02x}:{found.st_ino} 0 EOF\n"
        f"2: POSIX  ADVISORY  WRITE 816 {major:02x}:{minor:02x}:{found.st_ino + 1} 0 EOF\n"
    )
    assert devices.judge_holders(device, proc.processes).measured == "held by cura (process 815)"


def test_a_lock_file_is_seen_while_its_owner_lives(device: Path, proc: FakeProc) -> None:
    (proc.lock_folder / f"LCK..{device.name}").write_text("       816 minicom\n")
    assert devices.judge_holders(device, proc.processes).verdict is Verdict.OK
    proc.add(816, "minicom")
    assert "minicom (process 816)" in devices.judge_holders(device, proc.processes).measured


def test_a_program_that_really_holds_a_device_is_found(device: Path) -> None:
    script = f"import os, sys; os.open('{device}', os.O_RDWR | os.O_NOCTTY); print(flush=True)"
    command = [sys.executable, "-c", f"{script}; sys.stdin.read()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == b"\n"
        found = devices.judge_holders(device, Processes())
        program.communicate(b"")
    assert found.verdict is Verdict.FAILURE
    assert f"(process {program.pid})" in found.measured


def test_without_proc_nothing_is_claimed(device: Path, tmp_path: Path) -> None:
    found = devices.judge_holders(device, Processes(tmp_path / "none"))
    assert found.measured.startswith("unknown on this system")


def test_a_computer_without_brltty_is_fine(tmp_path: Path) -> None:
    found = brltty.judge_brltty(tmp_path / "sys", [tmp_path / "etc", tmp_path / "lib"])
    assert found == Judgement(Verdict.OK, "not installed")


@pytest.mark.parametrize("driver", ["usbfs", None])
def test_an_adapter_that_brltty_has_taken_fails(tmp_path: Path, driver: str | None) -> None:
    rules_in(tmp_path / "lib", RULES)
    adapter_in(tmp_path / "sys", driver)
    found = brltty.judge_brltty(tmp_path / "sys", [tmp_path / "etc", tmp_path / "lib"])
    assert found.verdict is Verdict.FAILURE
    assert found.measured == "brltty has claimed the serial adapter in socket 1-1.2"
    assert "/etc/udev/rules.d/85-brltty.rules" in found.remedy


@pytest.mark.parametrize("ids", [("1a86", "7523"), ("2341", "0043")])
def test_a_brltty_that_would_take_an_adapter_is_warned_of(
    tmp_path: Path, ids: tuple[str, str]
) -> None:
    rules_in(tmp_path / "lib", RULES)
    adapter_in(tmp_path / "sys", "ch341", ids)
    found = brltty.judge_brltty(tmp_path / "sys", [tmp_path / "etc", tmp_path / "lib"])
    assert found.verdict is Verdict.WARNING
    assert "claims adapters 1a86:7523 for braille displays" in found.measured


def test_modem_manager_is_warned_of(proc: FakeProc) -> None:
    assert devices.judge_modem_manager(proc.processes).verdict is Verdict.OK
    proc.add(333, "ModemManager")
    found = devices.judge_modem_manager(proc.processes)
    assert found.verdict is Verdict.WARNING
    assert "running (process 333)" in found.measured
    assert "ID_MM_DEVICE_IGNORE" in found.remedy


def test_a_bad_configuration_is_a_finding_with_all_its_errors(tmp_path: Path) -> None:
    config = tmp_path / "usbshare.toml"
    config.write_text("[queue]\nmax_commands = 0\n[ports.laser]\nsource = 5\n")
    found = examined(config, None).configuration
    assert found.verdict is Verdict.FAILURE
    assert "queue.max_commands" in found.measured
    assert "ports.laser.source" in found.measured


def test_a_correct_configuration_is_named(tmp_path: Path) -> None:
    config = tmp_path / "usbshare.toml"
    config.write_text('[ports.laser]\nsource = "sim://grbl"\n')
    what = examined(config, "127.0.0.1:50099")
    assert what.configuration.measured == f"{config}: correct"
    assert what.settings.service.listen == "127.0.0.1:50099"


async def test_checks_that_need_the_device_are_skipped_when_it_is_absent(
    tmp_path: Path, device: Path
) -> None:
    ports = {
        "here": PortTable(source=str(device)),
        "gone": PortTable(source=f"{tmp_path}/gone"),
        "sim": PortTable(source="sim://grbl"),
    }
    service = Settings().service.model_copy(update={"listen": "127.0.0.1:0"})
    settings = Settings(ports=ports, service=service)
    checks = await checks_of(Examined(settings, Judgement(Verdict.OK, ""), Site(tmp_path, "")))
    verdicts = {name: check.judgement.verdict for name, check in checks.items()}
    assert verdicts["port 'here'"] is verdicts["port 'here' holder"] is Verdict.OK
    assert verdicts["port 'gone'"] is Verdict.FAILURE
    assert verdicts["port 'gone' rights"] is verdicts["port 'gone' holder"] is Verdict.SKIPPED
    assert "port 'sim' rights" not in verdicts
    assert checks["firewall"].judgement.measured.startswith("not checked")


async def test_a_host_without_any_port_is_warned_of(tmp_path: Path) -> None:
    checks = await checks_of(Examined(Settings(), Judgement(Verdict.OK, ""), Site(tmp_path, "")))
    assert checks["serial ports"].judgement.verdict is Verdict.WARNING
