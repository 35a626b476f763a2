"""`bridge enroll` before it connects anywhere."""

from __future__ import annotations

import errno
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from usbshare.base.errors import ConfigError
from usbshare.bridge.cli import cli
from usbshare.bridge.enrolment import certificate_request
from usbshare.trust.invitation import Invitation

WHOLE = Invitation(
    "office-pc",
    "operators",
    ("127.0.0.1",),
    1,  # where nobody listens
    bytes(16),
    bytes(32),
    datetime(2030, 1, 1, tzinfo=UTC),
).encode()


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("USBSHARE_HOME", str(tmp_path / "home"))


def enroll(*arguments: str, typed: str = "") -> Result:
    return CliRunner().invoke(cli, ["enroll", *arguments], input=typed)


@pytest.mark.parametrize("text", [WHOLE[:-1], "nonsense", ""])
def test_an_invalid_invitation_is_bad_usage(text: str) -> None:
    for result in (enroll(text), enroll("-", typed=text)):
        assert result.exit_code == 2
        assert "this is not a complete invitation" in result.output


def test_the_string_may_come_on_stdin_in_several_lines() -> None:
    result = enroll("-", typed=f"{WHOLE[:50]}\n{WHOLE[50:]}\n")
    assert "this host has no open invitation" in str(result.exception)


def test_a_place_that_cannot_be_written_is_reported_before_the_invitation_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, size: int) -> None:
        assert size >= 16 * 1024
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(certificate_request, "require_writable", full)
    result = enroll(WHOLE)
    assert isinstance(result.exception, ConfigError)
    assert "No space left on device: choose another place" in str(result.exception)


def test_a_folder_in_the_bundles_place_is_reported_and_nothing_stays(tmp_path: Path) -> None:
    place = tmp_path / "home" / "client.pem"
    place.mkdir(parents=True)
    result = enroll(WHOLE, "--force")
    assert "Is a directory: choose another place" in str(result.exception)
    assert list(place.parent.iterdir()) == [place]


@pytest.mark.parametrize("options", [[], ["--bundle", "home/client.pem"]])
def test_a_certificate_that_is_there_is_not_replaced_unasked(
    tmp_path: Path, options: list[str]
) -> None:
    bundle = tmp_path / "home" / "client.pem"
    bundle.parent.mkdir()
    bundle.write_text("mine")
    result = enroll(WHOLE, *options)
    assert "--force" in str(result.exception)
    assert bundle.read_text() == "mine"
