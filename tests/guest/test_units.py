"""The units that are shipped, and a bridge's, under systemd itself, installed as the READMEs say.

Run as `test_real_drivers.py` says.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from guest.machine import BRIDGE, PROGRAMS, Guest

pytestmark = [
    pytest.mark.hardware,
    pytest.mark.timeout(3600),
    pytest.mark.skipif("USBSHARE_GUEST" not in os.environ, reason="USBSHARE_GUEST names no guest"),
]

HOME = "/var/lib/usbshare"
START_S = 1200.0
GADGET = "0525:a4a7"  # g_serial with use_acm=1
IMPORTED = "find /sys/devices/platform/vhci_hcd.0 -name 'ttyACM*' 2>/dev/null"
OWN = "find /sys/devices/platform/dummy_hcd.0 -name 'ttyACM*' 2>/dev/null"
LASER = '[ports.laser]\\nsource = "sim://grbl"\\nprofile = "grbl"\\n'
USER_OF_A_DISK = (
    "from pathlib import Path; from usbshare.usb_svc.devices.disks import Disks; "
    "from usbshare.usb_svc.devices.nodes import Node; "
    'disk = Node("a-disk", "b", (-1, -1), Path("/nonexistent")); '
    'print(Disks(Path("/proc"), Path("/sys")).user_of(disk))'
)
# Each start of a unit has another one.
RUN_ID = "systemctl show -p InvocationID --value {}"


@pytest.fixture(scope="module")
def guest() -> Iterator[Guest]:
    """A machine with systemd and the programs, none of which is started."""
    made = Guest()
    made.boot("systemd")
    made.install("/opt/usbshare")
    made.run("useradd --system --no-create-home --shell /usr/sbin/nologin usbshare")
    yield made
    made.stop()


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_unit_starts_its_service_and_keeps_it(guest: Guest, program: str) -> None:
    guest.begin(f"/opt/usbshare/bin/{program} install-service", f"/tmp/{program}.log")
    is_active(guest, program)
    shown = guest.run(f"systemctl show -p NRestarts -p User {program}")
    assert set(shown.split()) == {"NRestarts=0", "User=usbshare"}


def test_another_computer_is_let_in_by_the_services_user(guest: Guest) -> None:
    start(guest, "serial-svc")
    invite = "/opt/usbshare/bin/serial-svc pki invite --name office-pc --role operator"
    command = f"runuser -u usbshare -- env USBSHARE_HOME={HOME} {invite}"
    guest.begin(command, "/tmp/invitation")
    assert guest.wait_for("cat /tmp/invitation", r"(?m)^usbshare1\.\S+")


def test_a_service_that_was_killed_comes_back(guest: Guest) -> None:
    start(guest, "serial-svc")
    before = guest.run(RUN_ID.format("serial-svc"))
    guest.run("systemctl kill --signal=KILL serial-svc")
    guest.until(lambda: guest.run(RUN_ID.format("serial-svc")) != before, START_S)
    is_active(guest, "serial-svc")
    guest.run("systemctl stop serial-svc")
    shown = guest.run("systemctl show -p Result serial-svc")
    assert shown.strip() == "Result=success"


def test_a_bridge_is_a_unit_of_its_users_systemd(guest: Guest) -> None:
    guest.begin("/opt/usbshare/bin/serial-svc install-service", "/tmp/serial-svc.log")
    is_active(guest, "serial-svc")
    person = as_person(guest)
    guest.run("systemctl stop serial-svc")
    target = "--target 127.0.0.1 --vcom COM10"
    install = f"{person} /opt/usbshare/bin/{BRIDGE} {target} install-service"
    guest.begin(install, "/tmp/bridge.log")
    guest.wait_for("cat /tmp/bridge.log", f"{BRIDGE} runs, and starts with the login", START_S)
    log = "journalctl --no-pager -o cat _UID=$(id -u me)"
    guest.wait_for(log, "nothing listens at 127.0.0.1:50051.*waiting for it", START_S)
    start(guest, "serial-svc")
    guest.wait_for(log, "ready: open /run/user/.*/COM10", START_S)
    control = f"{person} systemctl --user"
    guest.run(f"{control} kill --signal=KILL {BRIDGE}")
    guest.wait_for(log, "(?s)ready: open.*ready: open", START_S)
    shown = guest.run(f"{control} show -p ActiveState -p NRestarts {BRIDGE}")
    assert set(shown.split()) == {"ActiveState=active", "NRestarts=1"}
    guest.run(f"{control} disable --now {BRIDGE}; rm /home/me/.config/systemd/user/*.service")
    guest.run(f"{control} daemon-reload")
    left = guest.run(f"{control} list-unit-files | grep usbshare; find /run/user -name COM10")
    assert left.strip() == ""


def as_person(guest: Guest) -> str:
    """Make a user with a certificate, whose own systemd runs; return what runs a command so."""
    # The guest has no libpam-systemd, which says where the runtime folder is.
    guest.run(
        "mkdir -p /etc/systemd/system/user@.service.d; printf "
        "'[Service]\\nEnvironment=XDG_RUNTIME_DIR=/run/user/%%i\\n'"
        " >/etc/systemd/system/user@.service.d/runtime.conf; systemctl daemon-reload"
    )
    guest.run("useradd -m me; loginctl enable-linger me")
    guest.wait_for("systemctl is-active user@$(id -u me)", "^active")
    own = "install -o me -g me"
    guest.run(f"{own} -d -m 700 /home/me/.config /home/me/.config/usbshare")
    guest.run(f"{own} -m 600 {HOME}/client.pem /home/me/.config/usbshare/client.pem")
    return "runuser -u me -- env HOME=/home/me XDG_RUNTIME_DIR=/run/user/$(id -u me)"


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_unit_ordered_after_a_service_can_call_it_at_once(guest: Guest, program: str) -> None:
    guest.run(f"systemctl stop {program}")
    start(guest, program)
    # Of this run only: lines of earlier ones prove nothing.
    log = f"journalctl --no-pager _SYSTEMD_INVOCATION_ID=$({RUN_ID.format(program)})"
    assert f"{program} ready at" in guest.run(f"journalctl --sync; {log}")


def test_a_service_that_hangs_is_started_again(guest: Guest) -> None:
    start(guest, "serial-svc")
    before = guest.run(RUN_ID.format("serial-svc"))
    guest.run("systemctl kill --signal=STOP --kill-whom=main serial-svc")
    guest.wait_for("journalctl --no-pager -u serial-svc", "Watchdog timeout", START_S)
    guest.until(lambda: guest.run(RUN_ID.format("serial-svc")) != before, START_S)
    is_active(guest, "serial-svc")


def as_pc(guest: Guest) -> str:
    """Give a folder the host's own certificate; return the bridge's command with it."""
    guest.run(f"install -d -m 700 /root/pc; install -m 600 {HOME}/client.pem /root/pc/client.pem")
    return f"env USBSHARE_HOME=/root/pc /opt/usbshare/bin/{BRIDGE}"


def test_a_unit_lends_a_device_and_has_it_back(guest: Guest) -> None:
    guest.run("modprobe usbip-host; modprobe vhci-hcd; modprobe g_serial use_acm=1")
    start(guest, "usb-svc")
    bridge = as_pc(guest)
    guest.begin(f"{bridge} usb list --target 127.0.0.1", "/tmp/list.log")
    guest.wait_for("cat /tmp/list.log", f"{GADGET}.* available")
    guest.begin(f"{bridge} usb attach --target 127.0.0.1 --match {GADGET}", "/tmp/attach.log")
    guest.wait_for("cat /tmp/attach.log", f"attached {GADGET}")
    guest.wait_for(IMPORTED, r"^/sys/\S+/ttyACM\d+\n$")
    guest.begin(f"{bridge} usb detach --all", "/tmp/detach.log")
    guest.wait_for(f"{IMPORTED}; echo; {OWN}", r"^\s*/sys/\S+/dummy_hcd\S+/ttyACM\d+\n$")


def test_a_unit_sees_a_disk_that_is_mounted_below_home(guest: Guest) -> None:
    """ProtectHome hides what is there from the service's own list of file systems."""
    guest.run("mkdir -p /home/me/disk; mount -t tmpfs a-disk /home/me/disk")
    try:
        guest.run("systemctl restart --no-block usb-svc")
        is_active(guest, "usb-svc")
        assert "a-disk" in guest.run("cat /proc/1/mounts")
        enter = "nsenter -m -t $(systemctl show -p MainPID --value usb-svc)"
        wanted = "the file system at /home/me/disk"
        guest.wait_for(f"{enter} /opt/usbshare/bin/python -c '{USER_OF_A_DISK}'", wanted)
    finally:
        guest.run("umount /home/me/disk")


def test_a_job_runs_through_two_units(guest: Guest) -> None:
    guest.run(f"printf '{LASER}' | install -o usbshare -m 600 /dev/stdin {HOME}/usbshare.toml")
    for program in ("serial-svc", "job-svc"):
        guest.run(f"systemctl restart --no-block {program}")
        is_active(guest, program)
    bridge = as_pc(guest)
    guest.run("printf 'G21 G90\\nG1 X10 F6000\\nG1 X0\\nM2\\n' > /root/pc/square.nc")
    job = f"{bridge} job submit /root/pc/square.nc --target 127.0.0.1 --port laser --start"
    guest.begin(job, "/tmp/submit.log")
    number = guest.wait_for("cat /tmp/submit.log", r"job (\d+)")[1]
    guest.begin(f"{bridge} job watch {number} --target 127.0.0.1", "/tmp/watch.log")
    guest.wait_for("cat /tmp/watch.log", "finished")


def start(guest: Guest, program: str) -> None:
    """Start a unit, and return once its service serves."""
    # Starting takes until it serves, longer than a command may take in a slow guest.
    guest.run(f"systemctl start --no-block {program}")
    is_active(guest, program)


def is_active(guest: Guest, program: str) -> None:
    """Return once a unit's service has said that it serves."""
    guest.wait_for(f"systemctl is-active {program}", "^active", START_S)
