"""The stop's short command line means what the full one means, and leaves to it what it is not."""

from __future__ import annotations

from collections.abc import Mapping

import click
import pytest

from usbshare.bridge.cli import cli
from usbshare.bridge.commands.stop import stop
from usbshare.bridge.stop.arguments import (
    AFTER,
    BEFORE,
    BEFORE_OPTIONAL,
    BEFORE_UNUSED,
    FLAGS,
    StopWish,
    asks_for_help,
    is_stop,
    read_stop,
)
from usbshare.line.stop_actions import StopAction

EMERGENCY = StopAction.EMERGENCY_STOP
# What the short command line leaves to the full one.
LEFT_OUT = {"--rearm", "--resume", "--code", "--epoch", "--hold-number"}


def options(command: click.Command, *, flags: bool) -> set[str]:
    found = [each for each in command.params if isinstance(each, click.Option)]
    return {name for each in found if bool(each.is_flag) is flags for name in each.opts}


def test_the_quick_options_are_those_of_the_full_command_line() -> None:
    assert options(stop, flags=False) - LEFT_OUT == AFTER
    assert options(stop, flags=True) - LEFT_OUT == FLAGS
    assert options(cli, flags=False) == BEFORE | BEFORE_UNUSED | BEFORE_OPTIONAL


@pytest.mark.parametrize(
    ("line", "wish"),
    [
        ("stop", StopWish()),
        ("stop --hold", StopWish(StopAction.HOLD)),
        ("stop --door --target laser:1", StopWish(StopAction.SAFETY_DOOR, "laser:1")),
        ("stop --door --port=mill", StopWish(StopAction.SAFETY_DOOR, port="mill")),
        ("--target a --insecure stop", StopWish(EMERGENCY, "a", insecure=True)),
        ("--target a stop --target b", StopWish(EMERGENCY, "b")),
        ("--port mill stop", StopWish(EMERGENCY, port="mill")),
        ("--port mill stop --port laser", StopWish(EMERGENCY, port="laser")),
        ("--config x.toml stop --reason why", StopWish(config="x.toml", reason="why")),
        ("stop --bundle c.pem", StopWish(bundle="c.pem")),
        ("stop --reason --hold", StopWish(reason="--hold")),
        ("stop --json", StopWish(as_json=True)),
        ("--json stop --hold", StopWish(StopAction.HOLD, as_json=True)),
    ],
)
def test_a_plain_line_is_understood(line: str, wish: StopWish) -> None:
    assert is_stop(line.split())
    assert read_stop(line.split(), {}) == wish


@pytest.mark.parametrize(
    "line",
    [
        "stop --rearm",
        "stop --resume",
        "stop --help",
        "stop -h",
        "stop --hold --door",
        "stop --code 123456",
        "stop --port",
        "stop --hold=1",
        "stop laser",
        "stop -- --hold",
        "--observe stop",
        "--vcom COM1 stop",
        "--match vid=1 stop",
        "--buffered auto stop",
        "--buffered --json stop",
        "--buffered --port p stop",
    ],
)
def test_arguments_that_are_not_plain_are_left_to_the_full_command_line(line: str) -> None:
    assert is_stop(line.split())
    assert read_stop(line.split(), {}) is None


@pytest.mark.parametrize(
    "line",
    [
        "",
        "send stop",
        "--target stop",
        "--target stop list",
        "--vcom stop",
        "list --port stop",
        "--buffered stop",
    ],
)
def test_other_commands_are_no_stop(line: str) -> None:
    assert not is_stop(line.split())


@pytest.mark.parametrize(
    ("environment", "wish"),
    [
        ({"USBSHARE_TARGET": "a", "USBSHARE_PORT": "p"}, StopWish(target="a", port="p")),
        ({"USBSHARE_INSECURE": "yes"}, StopWish(insecure=True)),
        ({"USBSHARE_INSECURE": "0"}, StopWish()),
        ({"USBSHARE_BUNDLE": "c.pem"}, StopWish(bundle="c.pem")),
        ({"USBSHARE_INSECURE": "perhaps"}, None),
    ],
)
def test_the_environment_counts(environment: Mapping[str, str], wish: StopWish | None) -> None:
    assert read_stop(["stop"], environment) == wish


@pytest.mark.parametrize(
    ("line", "is_help"),
    [
        ("stop --help", True),
        ("stop -h", True),
        ("stop --target laser --help", True),
        ("stop --reason --help", False),
        ("stop --help --reason", False),
        ("stop", False),
        ("", False),
    ],
)
def test_only_what_is_surely_help_is_no_stop(line: str, is_help: bool) -> None:
    assert asks_for_help(line.split()) is is_help
