"""Each verdict of `serial-svc doctor`, by breaking exactly the thing that it is about."""

from __future__ import annotations

import grp
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fakes.certificates import (
    LOOPBACK,
    SERVER,
    Issued,
    issue,
    make_site,
    serving,
    write_bundle,
    write_site,
)
from usbshare.base.checkup import Check, Judgement, Verdict, examine
from usbshare.base.errors import DeviceError
from usbshare.line.usb.serial_devices import SerialDeviceFound
from usbshare.serial_svc.checkup import brltty, devices, firewall_linux, firewall_windows
from usbshare.serial_svc.checkup.firewall_ports import Opening, spans
from usbshare.serial_svc.checkup.processes import Processes
from usbshare.serial_svc.checkup.rights import judge_rights
from usbshare.serial_svc.checkup.steps import Examined, examined, steps
from usbshare.serial_svc.settings import PortTable, Settings
from usbshare.service.checkup import host
from usbshare.trust import authority_rollover
from usbshare.trust.certificate_checks import judge_key_rights
from usbshare.trust.site import Site

NOW = datetime.now(UTC)
WANTED = [
    Opening("tcp", 50051),
    Opening("tcp", 50052),
    Opening("tcp", 50053),
    Opening("udp", 5353),
    Opening("udp", 5004),
]
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


# Devices.


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
def test_what_only_opening_could_show_is_not_opened(source: str) -> None:
    assert devices.judge_presence(source, []).verdict is Verdict.OK


# Rights.


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


# Other programs.


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


RULES = """# brltty
# ENV{PRODUCT}=="10c4/ea60/*", ENV{BRLTTY_BRAILLE_DRIVER}="sk", GOTO="brltty_usb_run"
ENV{PRODUCT}=="1a86/7523/*", ENV{BRLTTY_BRAILLE_DRIVER}="bm", GOTO="brltty_usb_run"
"""


def rules_in(folder: Path, text: str) -> None:
    rules = folder / "udev" / "rules.d"
    rules.mkdir(parents=True)
    (rules / "85-brltty.rules").write_text(text)


def adapter_in(sys: Path, driver: str | None, ids: tuple[str, str] = ("1a86", "7523")) -> None:
    device = sys / "bus" / "usb" / "devices" / "1-1.2"
    interface = device / "1-1.2:1.0"
    interface.mkdir(parents=True)
    for name, text in zip(("idVendor", "idProduct"), ids, strict=True):
        (device / name).write_text(text + "\n")
    if driver is not None:
        folder = sys / "bus" / "usb" / "drivers" / driver
        folder.mkdir(parents=True)
        (interface / "driver").symlink_to(folder)


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


def test_rules_that_are_masked_take_nothing(tmp_path: Path) -> None:
    rules_in(tmp_path / "etc", "")
    rules_in(tmp_path / "lib", RULES)
    adapter_in(tmp_path / "sys", None)
    found = brltty.judge_brltty(tmp_path / "sys", [tmp_path / "etc", tmp_path / "lib"])
    assert found.verdict is Verdict.OK


def test_modem_manager_is_warned_of(proc: FakeProc) -> None:
    assert devices.judge_modem_manager(proc.processes).verdict is Verdict.OK
    proc.add(333, "ModemManager")
    found = devices.judge_modem_manager(proc.processes)
    assert found.verdict is Verdict.WARNING
    assert "running (process 333)" in found.measured
    assert "ID_MM_DEVICE_IGNORE" in found.remedy


# Certificates.


def test_a_new_site_is_fine(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    assert host.judge_authority(site, NOW).verdict is Verdict.OK
    certificate = host.judge_host_certificate(site, LOOPBACK, NOW)
    assert certificate.verdict is Verdict.OK
    assert "days left" in certificate.measured
    assert host.judge_own_bundle(site.client_bundle, site, NOW).verdict is Verdict.OK


def test_before_the_first_start_there_is_nothing_to_blame(tmp_path: Path) -> None:
    site = Site(tmp_path, "")
    for judgement in (
        host.judge_authority(site, NOW),
        host.judge_host_certificate(site, (), NOW),
        host.judge_own_bundle(site.client_bundle, site, NOW),
        judge_key_rights([site.server_key]),
    ):
        assert judgement.verdict is Verdict.OK


@pytest.mark.parametrize(
    ("from_days", "to_days", "expected", "words"),
    [
        (-100, -10, Verdict.FAILURE, "10 days ago"),
        (-80, 10, Verdict.WARNING, "9 days left"),
        (1, 90, Verdict.FAILURE, "valid only from"),
    ],
    ids=["expired", "long due", "not valid yet"],
)
def test_dates_of_the_host_certificate(
    tmp_path: Path, from_days: float, to_days: float, expected: Verdict, words: str
) -> None:
    authority = issue(name="ca")
    server = issue(authority, usage=SERVER, from_days=from_days, to_days=to_days)
    site = write_site(tmp_path, authority, server)
    found = host.judge_host_certificate(site, (), datetime.now(UTC))
    assert found.verdict is expected
    assert words in found.measured
    assert found.remedy


def test_a_certificate_that_is_due_is_fine_since_it_renews_itself(tmp_path: Path) -> None:
    authority = issue(name="ca")
    site = write_site(
        tmp_path, authority, issue(authority, usage=SERVER, from_days=-72, to_days=24)
    )
    assert host.judge_host_certificate(site, (), datetime.now(UTC)).verdict is Verdict.OK


def test_during_a_rollover_all_is_fine_and_the_end_of_the_old_authority_is_reported(
    tmp_path: Path,
) -> None:
    site = make_site(tmp_path)
    done = authority_rollover.roll(tmp_path)
    make_site(tmp_path)
    found = host.judge_authority(site, NOW)
    assert found.verdict is Verdict.OK
    assert f"is still trusted until {done.overlap_end:%Y-%m-%d}" in found.measured
    assert host.judge_host_certificate(site, (), NOW).verdict is Verdict.OK
    assert host.judge_own_bundle(site.client_bundle, site, NOW).verdict is Verdict.OK


def test_an_authority_that_nears_its_end_is_to_be_changed(tmp_path: Path) -> None:
    found = host.judge_authority(make_site(tmp_path), NOW + timedelta(days=3500))
    assert found.verdict is Verdict.WARNING
    assert "serial-svc pki roll" in found.remedy


def test_a_host_certificate_of_another_site_fails(tmp_path: Path) -> None:
    site = write_site(tmp_path, issue(name="ca"), issue(issue(name="other"), usage=SERVER))
    found = host.judge_host_certificate(site, (), NOW)
    assert found.verdict is Verdict.FAILURE
    assert "belongs to another site" in found.measured


def test_a_name_that_the_host_certificate_lacks_is_warned_of(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    found = host.judge_host_certificate(site, ("localhost", "192.168.7.7"), NOW)
    assert found.verdict is Verdict.WARNING
    assert found.measured.endswith("; not for 192.168.7.7")


def test_an_authority_without_its_key_fails(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    site.ca_certificate.with_name("ca.key").unlink()
    assert host.judge_authority(site, NOW).verdict is Verdict.FAILURE


def test_an_authority_that_has_expired_fails(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    found = host.judge_authority(site, NOW + timedelta(days=4000))
    assert found.verdict is Verdict.FAILURE
    assert "expired on" in found.measured


def test_a_damaged_certificate_fails(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    site.server_certificate.write_text("-----BEGIN CERTIFICATE-----\nxx\n")
    assert "is not a certificate" in host.judge_host_certificate(site, (), NOW).measured


def test_a_client_bundle_that_has_expired_fails(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    found = host.judge_own_bundle(site.client_bundle, site, NOW + timedelta(days=100))
    assert found.verdict is Verdict.FAILURE
    assert "its log says why" in found.remedy


def test_what_this_user_may_not_read_is_not_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    site = make_site(tmp_path)
    monkeypatch.setattr(Path, "read_bytes", denied)  # root, who runs the tests, may read all
    found = host.judge_authority(site, NOW)
    assert found.verdict is Verdict.WARNING
    assert found.remedy == "run the doctor as the service's user"


def test_a_client_bundle_of_another_site_is_warned_of(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    other = issue(name="other")
    client: Issued = issue(other)
    write_bundle(site.client_bundle, client, other)
    found = host.judge_own_bundle(site.client_bundle, site, NOW)
    assert "belongs to another site" in found.measured


def test_a_key_that_others_may_read_is_warned_of(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    assert judge_key_rights([site.server_key]).verdict is Verdict.OK
    site.server_key.chmod(0o644)
    found = judge_key_rights([site.server_key, site.client_bundle])
    assert found.verdict is Verdict.WARNING
    assert found.remedy == f"run `chmod 600 {site.server_key}`"


# The address.


def test_a_free_address_is_fine(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    found = host.judge_address(f"127.0.0.1:{port}", tmp_path / "client.pem")
    assert found.verdict is Verdict.OK
    assert "is free" in found.measured


async def test_an_address_that_the_service_has_is_fine(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    async with serving(site) as port:
        checks = await checks_of(listening_at(port, site), "listen address")
    check = checks["listen address"]
    assert check.judgement.verdict is Verdict.OK
    assert "the service is running and answers" in check.judgement.measured


def test_an_address_that_another_program_has_fails(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    with hanging_up() as port:
        found = host.judge_address(f"127.0.0.1:{port}", site.client_bundle)
    assert found.verdict is Verdict.FAILURE
    assert "address already in use" in found.remedy


@contextmanager
def hanging_up() -> Iterator[int]:
    """Take connections and close them at once; yields the port."""

    def hang_up() -> None:
        with suppress(OSError):
            while True:
                server.accept()[0].close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=hang_up)
        thread.start()
        try:
            yield int(server.getsockname()[1])
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


# Firewalls.


def ufw(root: Path, rules: str, policy: str = "DROP", before: str = "") -> None:
    (root / "etc/ufw").mkdir(parents=True)
    (root / "etc/default").mkdir()
    (root / "etc/ufw/ufw.conf").write_text("# comment\nENABLED=yes\nLOGLEVEL=low\n")
    (root / "etc/ufw/user.rules").write_text(rules)
    (root / "etc/ufw/before.rules").write_text(before)
    (root / "etc/default/ufw").write_text(f'DEFAULT_INPUT_POLICY="{policy}"\n')


def tuple_line(action: str, protocol: str, ports: str, direction: str = "in") -> str:
    return f"### tuple ### {action} {protocol} {ports} 0.0.0.0/0 any 0.0.0.0/0 {direction}\n"


def test_no_firewall_is_fine(tmp_path: Path) -> None:
    assert firewall_linux.judge_firewall(WANTED, tmp_path).verdict is Verdict.OK
    (tmp_path / "etc/ufw").mkdir(parents=True)
    (tmp_path / "etc/ufw/ufw.conf").write_text("ENABLED=no\n")
    assert firewall_linux.judge_firewall(WANTED, tmp_path).verdict is Verdict.OK


def test_ufw_without_rules_keeps_all_shut_and_the_commands_open_it(tmp_path: Path) -> None:
    ufw(tmp_path, tuple_line("allow", "tcp", "22"))
    found = firewall_linux.judge_firewall(WANTED, tmp_path)
    assert found.verdict is Verdict.WARNING
    assert found.measured == "ufw is on and blocks TCP 50051-50053, UDP 5004, UDP 5353"
    assert found.remedy == (
        "`sudo ufw allow 50051:50053/tcp && sudo ufw allow 5004/udp && sudo ufw allow 5353/udp`"
    )


@pytest.mark.parametrize(
    "rules",
    [
        tuple_line("allow", "tcp", "50051:50053") + tuple_line("allow", "udp", "5353,5004"),
        tuple_line("limit", "any", "50000:51000") + tuple_line("allow", "any", "5004:5353"),
        tuple_line("allow", "any", "any", "in_eth0"),
        tuple_line("allow", "any", "any", "in comment=6c61736572"),
    ],
    ids=["ranges", "limited", "interface", "comment"],
)
def test_ufw_with_rules_is_fine(tmp_path: Path, rules: str) -> None:
    ufw(tmp_path, rules)
    assert firewall_linux.judge_firewall(WANTED, tmp_path).verdict is Verdict.OK


@pytest.mark.parametrize(
    "rule",
    [
        tuple_line("deny", "any", "any"),
        tuple_line("allow", "any", "any", "out"),
        tuple_line("route:allow", "any", "any"),
        "### tuple ### allow any\n",
        "-A ufw-user-input -p tcp --dport 50051 -j ACCEPT\n",
    ],
)
def test_rules_that_do_not_let_us_in_count_for_nothing(tmp_path: Path, rule: str) -> None:
    ufw(tmp_path, rule)
    assert "TCP 50051-50053" in firewall_linux.judge_firewall(WANTED, tmp_path).measured


def test_ufw_lets_multicast_dns_in_as_it_is_shipped(tmp_path: Path) -> None:
    shipped = "-A ufw-before-input -p udp -d 224.0.0.251 --dport 5353 -j ACCEPT\n"
    ufw(tmp_path, tuple_line("allow", "tcp", "50051:50053"), before=shipped)
    found = firewall_linux.judge_firewall(WANTED, tmp_path)
    assert found.measured == "ufw is on and blocks UDP 5004"


def test_ufw_that_lets_everything_in_is_fine(tmp_path: Path) -> None:
    ufw(tmp_path, "", policy="ACCEPT")
    assert firewall_linux.judge_firewall(WANTED, tmp_path).verdict is Verdict.OK


def test_rules_that_only_root_may_read_are_said_to_be_unknown(tmp_path: Path) -> None:
    ufw(tmp_path, "")
    (tmp_path / "etc/ufw/user.rules").unlink()  # the tests may run as root, who may read all
    found = firewall_linux.judge_firewall(WANTED, tmp_path)
    assert found.verdict is Verdict.WARNING
    assert "only root can read its rules" in found.measured
    assert "sudo ufw allow 50051:50053/tcp" in found.remedy


def firewalld(root: Path, zone: str) -> None:
    (root / "etc/firewalld/zones").mkdir(parents=True)
    (root / "run").mkdir()
    (root / "run/firewalld.pid").write_text("77")
    (root / "etc/firewalld/firewalld.conf").write_text("# x\nDefaultZone=home\n")
    (root / "etc/firewalld/zones/home.xml").write_text(f"<zone>{zone}</zone>")


def test_firewalld_with_the_ports_is_fine(tmp_path: Path) -> None:
    ports = '<port protocol="tcp" port="50051-50053"/><port port="5004" protocol="udp"/>'
    firewalld(tmp_path, f'<service name="mdns"/>{ports}')
    assert firewall_linux.judge_firewall(WANTED, tmp_path).verdict is Verdict.OK


def test_firewalld_without_the_ports_is_warned_of(tmp_path: Path) -> None:
    firewalld(tmp_path, '<service name="ssh"/><port port="50051" protocol="udp"/>')
    found = firewall_linux.judge_firewall(WANTED, tmp_path)
    assert found.verdict is Verdict.WARNING
    assert "firewalld is on and blocks TCP 50051-50053" in found.measured
    assert found.remedy == (
        "`sudo firewall-cmd --permanent --add-port=50051-50053/tcp --add-port=5004/udp "
        "--add-port=5353/udp && sudo firewall-cmd --reload`"
    )


def test_firewalld_whose_files_only_root_may_read_is_unknown(tmp_path: Path) -> None:
    (tmp_path / "run/firewalld").mkdir(parents=True)
    assert "only root can read" in firewall_linux.judge_firewall(WANTED, tmp_path).measured


def test_on_windows_the_commands_are_given() -> None:
    found = firewall_windows.judge_firewall(WANTED)
    assert "protocol=TCP localport=50051-50053" in found.remedy
    assert "protocol=UDP localport=5353" in found.remedy


def test_only_neighbours_become_a_span() -> None:
    openings = [Opening("tcp", 1), Opening("tcp", 2), Opening("tcp", 4), Opening("udp", 5)]
    assert list(spans(openings, "-")) == [("tcp", "1-2"), ("tcp", "4"), ("udp", "5")]


# All together.


def listening_at(port: int, site: Site) -> Examined:
    settings = Settings.model_validate({"service": {"listen": f"127.0.0.1:{port}"}})
    return Examined(settings, Judgement(Verdict.OK, ""), site)


async def checks_of(what: Examined, *names: str) -> dict[str, Check]:
    chosen = [step for step in steps(what) if not names or step.name in names]
    return {check.name: check async for check in examine(chosen)}


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


async def test_what_cannot_be_asked_of_an_absent_device_is_skipped(
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
