"""Who misspells a command is told which one is near."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from usbshare.bridge.cli import cli as bridge
from usbshare.serial_svc.cli import cli as serial_svc


def said(program: object, *arguments: str) -> str:
    result = CliRunner().invoke(program, list(arguments))  # type: ignore[arg-type]
    assert result.exit_code == 2, result.output
    return result.output


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("stpo", "Did you mean 'stop'?"),
        ("enrol", "Did you mean 'enroll'?"),
        ("sen", "Did you mean 'send'?"),
        ("rearm", "Use `usbshare-bridge stop --rearm`."),
        ("invite", "Use `serial-svc pki invite` on the host"),
        ("xyzzy", "There are: camera, "),
    ],
)
def test_a_misspelt_command_of_the_bridge(typed: str, hint: str) -> None:
    output = said(bridge, typed)
    assert f"No such command '{typed}'. {hint}" in output


def test_a_misspelt_option_of_a_command() -> None:
    assert "--hold" in said(bridge, "stop", "--hodl")
    output = said(bridge, "--traget", "laser")
    assert "Did you mean" in output
    assert "'--target'" in output


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["dcotor"], "Did you mean 'doctor'?"),
        (["revoke", "office"], "Use `cli pki revoke`."),
        (["pki", "revok", "office"], "Did you mean 'revoke'?"),
        (["audit", "sohw"], "Did you mean 'show'?"),
        (["devices", "alow"], "Did you mean 'allow'?"),
    ],
)
def test_a_misspelt_command_of_a_service(arguments: list[str], hint: str) -> None:
    assert hint in said(serial_svc, *arguments)
