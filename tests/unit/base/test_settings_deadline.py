"""A disk that hangs ends a start with one clear line, and what nobody needs ends none."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from usbshare.base import settings_deadline
from usbshare.base.errors import ConfigError
from usbshare.base.legacy.import_settings import Side
from usbshare.base.settings_deadline import import_older_in_time, read_in_time


@pytest.fixture
def hangs(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Return what lets the disk go on; the limits are short."""
    monkeypatch.setattr(settings_deadline, "SETTINGS_TIMEOUT_S", 0.05)
    monkeypatch.setattr(settings_deadline, "OLDER_TIMEOUT_S", 0.05)
    goes_on = threading.Event()
    yield goes_on
    goes_on.set()


def test_settings_that_hang_are_an_error_that_names_them(hangs: threading.Event) -> None:
    with pytest.raises(ConfigError, match=r"^/net/laser\.toml does not answer within 0\.05 s: "):
        read_in_time(Path("/net/laser.toml"), hangs.wait, lambda _: None)


def test_a_folder_that_hangs_is_an_error_that_names_it(
    hangs: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USBSHARE_HOME", "/net/usbshare")
    with pytest.raises(ConfigError, match=r"^/net/usbshare does not answer"):
        read_in_time(None, hangs.wait, lambda _: None)


def test_older_settings_that_hang_are_left_alone(
    hangs: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings_deadline, "import_older_settings", lambda *_: hangs.wait())
    said: list[str] = []
    import_older_in_time(Side.SERVER, None, said.append)
    assert said[-1] == "ignoring the older tool's settings: no answer within 0.05 s"


def test_older_settings_that_fail_in_any_way_are_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(*_: object) -> None:
        raise PermissionError(13, "Permission denied", "/root")

    monkeypatch.setattr(settings_deadline, "import_older_settings", fails)
    said: list[str] = []
    import_older_in_time(Side.SERVER, None, said.append)
    assert said == ["ignoring the older tool's settings: [Errno 13] Permission denied: '/root'"]
