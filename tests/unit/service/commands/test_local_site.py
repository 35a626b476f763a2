"""Which site the `pki` commands work on."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from usbshare.base.errors import ConfigError
from usbshare.base.service_settings import TlsTable
from usbshare.service.commands import local_site


@pytest.fixture
def units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the units keep, on a computer where this user has nothing."""
    made = tmp_path / "units"
    made.mkdir()
    monkeypatch.setattr(local_site, "UNITS_HOME", made)
    monkeypatch.setenv("USBSHARE_HOME", str(tmp_path / "own"))
    return made


def test_beside_the_services_of_systemd_no_second_site_is_made(
    units: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["serial-svc", "pki", "invite", "--name", "my pc"])
    with pytest.raises(ConfigError) as refused:
        local_site.made_site(TlsTable())
    said = str(refused.value)
    assert f"sudo -u usbshare USBSHARE_HOME={units} " in said
    assert said.endswith("serial-svc pki invite --name 'my pc'")
    with pytest.raises(ConfigError, match="sudo -u usbshare"):
        local_site.known_site()


def test_the_user_of_the_services_may_make_the_site(
    units: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USBSHARE_HOME", str(units))
    assert local_site.made_site(TlsTable()).id == local_site.known_site().id


def test_a_user_with_a_site_of_his_own_keeps_it(
    units: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_site, "UNITS_HOME", units / "not there")
    own = local_site.made_site(TlsTable())
    monkeypatch.setattr(local_site, "UNITS_HOME", units)
    assert local_site.known_site().id == own.id
