"""What people see of an error of a service's command line."""

from __future__ import annotations

import errno
import os
import sys

import click
import pytest

from usbshare.base.errors import ConfigError, UsbshareError
from usbshare.service.cli import run_command_line


def outcome(error: Exception, monkeypatch: pytest.MonkeyPatch) -> object:
    """Return the exit code of a command that fails so."""

    @click.command()
    def fail() -> None:
        raise error

    monkeypatch.setattr(sys, "argv", ["serial-svc"])
    with pytest.raises(SystemExit) as caught:
        run_command_line("serial-svc", fail)
    return caught.value.code


def system_error(number: int, path: str | None) -> OSError:
    return OSError(number, os.strerror(number), path)


@pytest.mark.parametrize(("error", "code"), [(ConfigError("bad"), 2), (UsbshareError("bad"), 1)])
def test_an_error_of_ours_is_one_line(
    error: Exception,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert outcome(error, monkeypatch) == code
    assert capsys.readouterr().err == "serial-svc: bad\n"


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.EACCES, "work as the user that runs the services"),
        (errno.ENOSPC, "free space on the disk"),
        (errno.EROFS, "the disk is read-only"),
        (errno.EIO, "fix that"),
    ],
)
def test_an_error_of_the_system_is_a_line_with_the_file_the_reason_and_the_remedy(
    number: int,
    advice: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert outcome(system_error(number, "/site/ca.crt"), monkeypatch) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"serial-svc: cannot use /site/ca.crt: {os.strerror(number).lower()}: ")
    assert advice in line


def test_a_file_need_not_be_known(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert outcome(system_error(errno.ENOSPC, None), monkeypatch) == 1
    assert "no space left on device" in capsys.readouterr().err


def test_a_bug_is_not_made_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TimeoutError):
        outcome(TimeoutError(), monkeypatch)
