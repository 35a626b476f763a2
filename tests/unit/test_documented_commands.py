"""Each command that a page shows is read by our programs as it stands; what it names exists."""

from __future__ import annotations

import importlib.util
from difflib import get_close_matches

import click
import pytest
from click.testing import CliRunner

from fakes.documented import PROGRAMS, ROOT, Documented, documented
from usbshare.bridge.cli import cli as bridge
from usbshare.camera_svc.cli import cli as camera_svc
from usbshare.discovery_svc.cli import cli as discovery_svc
from usbshare.job_svc.cli import cli as job_svc
from usbshare.serial_svc.cli import cli as serial_svc
from usbshare.usb_svc.cli import cli as usb_svc

COMMANDS = {
    "bridge": bridge,
    "usbshare-bridge": bridge,
    "serial-svc": serial_svc,
    "camera-svc": camera_svc,
    "job-svc": job_svc,
    "usb-svc": usb_svc,
    "discovery-svc": discovery_svc,
}
EVERY = list(documented())
OURS = [each for each in EVERY if each.is_ours]
FOLDERS = ("bridge/", "docs/", "proto/", "requirements/", "services/")


def read(command: click.Command, words: list[str], name: str) -> tuple[str, ...]:
    """Read a command line as click does, without doing it; returns the way to its command."""
    context = click.Context(command, info_name=name)
    _, rest, _ = command.make_parser(context).parse_args(list(words))
    if not isinstance(command, click.Group):
        assert not rest, f"unexpected: {rest}"
        return ()
    if not rest:
        return ()
    below = command.get_command(context, rest[0])
    assert below is not None, f"no command {rest[0]!r}"
    return (rest[0], *read(below, rest[1:], rest[0]))


def test_commands_are_found() -> None:
    assert len(OURS) > 30
    assert len({each.page for each in OURS}) > 7


@pytest.mark.parametrize("each", OURS, ids=str)
def test_a_command_of_ours_is_read_unchanged(each: Documented) -> None:
    way = read(COMMANDS[each.program], list(each.words[1:]), each.program)
    shown = CliRunner().invoke(COMMANDS[each.program], [*way, "--help"])
    assert shown.exit_code == 0, shown.output


@pytest.mark.parametrize("each", [each for each in EVERY if not each.is_ours], ids=str)
def test_commands_named_in_messages_exist(each: Documented) -> None:
    assert not get_close_matches(each.program, PROGRAMS), "a misspelt program of ours"
    for word in each.words[1:]:
        if word.startswith(FOLDERS):
            assert (ROOT / word).exists(), word
    if each.words[:2] == ("python", "-m"):
        assert importlib.util.find_spec(each.words[2]) is not None


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["lsit"], "no command 'lsit'"),
        (["list", "laser"], "unexpected"),
    ],
)
def test_a_mistake_in_a_page_would_be_noticed(words: list[str], why: str) -> None:
    with pytest.raises(AssertionError, match=why):
        read(bridge, words, "bridge")
    with pytest.raises(click.NoSuchOption):
        read(bridge, ["list", "--taget", "laser"], "bridge")
