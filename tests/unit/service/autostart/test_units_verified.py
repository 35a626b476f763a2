"""The units that are shipped are correct, as systemd itself reads them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
UNITS = sorted(ROOT.glob("services/*/usbshare/*/*-svc.service"))
ANALYZE = shutil.which("systemd-analyze")
# What a client of serial-svc has no use for, and a service of devices has.
OF_DEVICES = {"SupplementaryGroups", "DeviceAllow"}
# Every service has these, whatever else it has.
HARDENING = {
    *("UMask", "NoNewPrivileges", "CapabilityBoundingSet", "ProtectSystem", "ProtectHome"),
    *("PrivateTmp", "ProtectControlGroups", "ProtectHostname", "ProtectKernelLogs"),
    *("ProtectKernelModules", "ProtectKernelTunables", "LockPersonality", "RestrictNamespaces"),
    *("RestrictRealtime", "RestrictSUIDSGID", "RestrictAddressFamilies", "SystemCallFilter"),
    *("Type", "WatchdogSec", "User", "StateDirectory", "StateDirectoryMode", "Restart"),
}


# It takes devices from their drivers, by files of /sys.
EXEMPT = {"usb-svc": {"ProtectKernelTunables"}}


def keys(unit: Path) -> set[str]:
    return set(re.findall(r"^(\w+)=", unit.read_text(), re.MULTILINE))


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_is_as_hardened_as_the_others(unit: Path) -> None:
    assert keys(unit) >= HARDENING - EXEMPT.get(unit.stem, set())


def test_the_job_service_needs_no_device_and_starts_after_its_serial_service() -> None:
    (unit,) = (each for each in UNITS if each.stem == "job-svc")
    assert not keys(unit) & OF_DEVICES
    assert "PrivateDevices=yes" in unit.read_text()
    assert "After=serial-svc.service" in unit.read_text()


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_finds_nothing_wrong_with_a_unit(unit: Path, tmp_path: Path) -> None:
    # What it starts is not installed here.
    text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", unit.read_text(), flags=re.MULTILINE)
    (tmp_path / unit.name).write_text(text)
    command = [str(ANALYZE), "verify", "--man=no", str(tmp_path / unit.name)]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (found.returncode, found.stderr) == (0, "")
