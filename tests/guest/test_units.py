"""The units that are shipped, under systemd itself, installed as the READMEs say.

Run as `test_real_drivers.py` says.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from guest.machine import PROGRAMS, Guest

pytestmark = [
    pytest.mark.hardware,
    pytest.mark.timeout(3600),
    pytest.mark.skipif("USBSHARE_GUEST" not in os.environ, reason="USBSHARE_GUEST names no guest"),
]

HOME = "/var/lib/usbshare"
START_S = 1200.0


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
    ready = f"{program} ready at"
    guest.wait_for(f"journalctl --no-pager -u {program}", ready, START_S)
    shown = guest.run(f"systemctl show -p ActiveState -p NRestarts -p User {program}")
    assert set(shown.split()) == {"ActiveState=active", "NRestarts=0", "User=usbshare"}


def test_another_computer_is_let_in_by_the_services_user(guest: Guest) -> None:
    guest.run("systemctl start serial-svc")
    guest.wait_for("journalctl --no-pager -u serial-svc", "serial-svc ready at", START_S)
    invite = "/opt/usbshare/bin/serial-svc pki invite --name office-pc --role operator"
    command = f"runuser -u usbshare -- env USBSHARE_HOME={HOME} {invite}"
    guest.begin(command, "/tmp/invitation")
    assert guest.wait_for("cat /tmp/invitation", r"^usbshare1\.\S+")


def test_a_service_that_was_killed_comes_back(guest: Guest) -> None:
    guest.run("systemctl start serial-svc; journalctl --rotate --vacuum-time=1s")
    guest.run("systemctl kill --signal=KILL serial-svc")
    guest.wait_for("journalctl --no-pager -u serial-svc", "serial-svc ready at", START_S)
    guest.run("systemctl stop serial-svc")
    shown = guest.run("systemctl show -p Result serial-svc")
    assert shown.strip() == "Result=success"
