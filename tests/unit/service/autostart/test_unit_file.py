"""Units are the texts that are shipped, for another command line and user."""

from __future__ import annotations

import subprocess
import xml.etree.ElementTree
from pathlib import Path

import pytest

from usbshare.bridge.commands.install_service import install_service_command
from usbshare.service.autostart.task_xml import task_xml
from usbshare.service.autostart.unit_file import command_of, system_unit, user_of, user_unit
from usbshare.service.commands.install_service import SYSTEM, USER, Shipped

ROOT = Path(__file__).parents[4]
SHIPPED = [
    Shipped("serial-svc", "usbshare.serial_svc", SYSTEM),
    Shipped("camera-svc", "usbshare.camera_svc", SYSTEM),
    Shipped("job-svc", "usbshare.job_svc", SYSTEM),
    Shipped("usb-svc", "usbshare.usb_svc", SYSTEM),
    Shipped("discovery-svc", "usbshare.discovery_svc", SYSTEM),
    Shipped("usbshare-bridge", "usbshare.bridge", USER),
]
ODD = ["/opt/my programs/bridge", "--target", 'a "b" 100% $HOME\\', "--vcom", "COM10"]


@pytest.mark.parametrize("shipped", SHIPPED, ids=lambda each: each.name)
def test_the_shipped_unit_is_the_one_source(shipped: Shipped) -> None:
    assert system_unit(shipped.unit, command_of(shipped.unit), "") == shipped.unit
    assert user_of(shipped.unit) == "usbshare"
    area = shipped.name.replace("-", "_")
    beside = ROOT / "services" / area / f"{shipped.name}.service"
    if shipped.kind == SYSTEM:
        assert beside.read_text(encoding="utf-8") == shipped.unit
        assert beside.is_symlink()  # a copy would be left behind by the next change


@pytest.mark.parametrize("shipped", SHIPPED, ids=lambda each: each.name)
def test_a_users_unit_has_nothing_that_only_the_system_can(shipped: Shipped) -> None:
    text = user_unit(shipped.unit, ["/x"])
    keys = {line.partition("=")[0] for line in text.splitlines() if "=" in line}
    assert keys <= {
        *("After", "Description", "StartLimitIntervalSec", "ExecStart", "Restart", "RestartSec"),
        *("Type", "WatchdogSec", "TimeoutStartSec"),
        *("RestartPreventExitStatus", "TimeoutStopSec", "UMask", "NoNewPrivileges", "WantedBy"),
    }
    assert "WantedBy=default.target" in text
    assert "network-online" not in text


def test_a_command_line_survives_systemds_quoting() -> None:
    text = system_unit(SHIPPED[0].unit, ODD, "ann")
    assert command_of(text) == ODD
    assert 'ExecStart="/opt/my programs/bridge"' in text
    assert "100%% $$HOME" in text
    assert user_of(text) == "ann"


def test_the_task_of_windows_is_xml_with_the_command_line() -> None:
    text = task_xml("a <b>", ["C:\\usb & share\\bridge.exe", "--target", "my laser"])
    root = xml.etree.ElementTree.fromstring(text.partition("\n")[2])
    space = "{http://schemas.microsoft.com/windows/2004/02/mit/task}"
    assert root.findtext(f".//{space}Command") == "C:\\usb & share\\bridge.exe"
    assert root.findtext(f".//{space}Arguments") == '--target "my laser"'
    assert "Untried" in text


def test_systemd_itself_accepts_the_units(tmp_path: Path) -> None:
    try:
        subprocess.run(["systemd-analyze", "--version"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("there is no systemd-analyze")
    for shipped in SHIPPED:
        path = tmp_path / f"{shipped.name}.service"
        path.write_text(system_unit(shipped.unit, ["/bin/true"], "root"), encoding="utf-8")
        done = subprocess.run(
            ["systemd-analyze", "verify", str(path)], check=False, capture_output=True, text=True
        )
        assert shipped.name not in done.stderr, done.stderr


def test_the_command_has_a_name() -> None:
    assert install_service_command.name == "install-service"
