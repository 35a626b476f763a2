"""The table of commands: what a line calls, how often a word may come, what help says."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from usbshare.base.errors import InvalidArgumentError, NotFoundError
from usbshare.bridge.console.language import MachineLine, Realtime, meaning
from usbshare.bridge.console.lines import Line
from usbshare.bridge.console.table import Asker, Call, Command, Table


async def nothing(_: Asker, __: Sequence[str]) -> Sequence[Line]:
    return []


TABLE = Table(
    [
        Command("help", "show the commands", nothing, "[COMMAND]"),
        Command("devices", "show the ports", nothing, aliases=("device list",), right="view"),
        Command("endpoint add", "offer", nothing, "KIND HOST:PORT"),
        Command("endpoint list", "show what is offered", nothing, aliases=("endpoint",)),
        Command("rearm", "let lines through", nothing, by_person=True),
    ]
)


@pytest.mark.parametrize(
    ("text", "name", "arguments"),
    [
        ("help", "help", ()),
        ("HELP Devices", "help", ("Devices",)),
        ("device list", "devices", ()),
        ("endpoint", "endpoint list", ()),
        ("endpoint add tcp 127.0.0.1:1", "endpoint add", ("tcp", "127.0.0.1:1")),
    ],
)
def test_the_longest_matching_name_is_called(
    text: str, name: str, arguments: tuple[str, ...]
) -> None:
    call = TABLE.call(text)
    assert call is not None
    assert (call.command.name, call.arguments) == (name, arguments)


@pytest.mark.parametrize("text", ["G0 X1", "g0x1", "X-1.5", "X.5", "M3 S100", "$X", "$J=X1 F9"])
def test_gcode_and_settings_go_to_the_machine(text: str) -> None:
    assert meaning(text, TABLE) == MachineLine(text)


@pytest.mark.parametrize("text", ["(a comment)", "; a comment", "%", "N1 G0", "/G1 X1"])
def test_other_lines_of_gcode_files_go_to_the_machine(text: str) -> None:
    assert meaning(f"  {text}\r\n", TABLE) == MachineLine(text)


@pytest.mark.parametrize("text", ["?", "!", "~", "\x18"])
def test_real_time_bytes_stand_alone(text: str) -> None:
    assert meaning(f"{text}\n", TABLE) == Realtime(text.encode())


def test_send_passes_any_line() -> None:
    assert meaning("send [ESP800]", TABLE) == MachineLine("[ESP800]")
    with pytest.raises(InvalidArgumentError, match="`send` needs the line"):
        meaning("send", TABLE)


def test_an_empty_line_means_nothing() -> None:
    assert meaning(" \r\n", TABLE) is None


def test_an_unknown_word_is_refused_with_the_nearest_command() -> None:
    with pytest.raises(InvalidArgumentError, match=r"^'devises' is neither .*mean `devices`"):
        meaning("devises", TABLE)
    with pytest.raises(InvalidArgumentError, match=r"^'xyzzy' is neither a command nor G-code: "):
        meaning("xyzzy plugh", TABLE)


@pytest.mark.parametrize("text", ["G0 X1 (Ä)", "G0\x1b[2J", "help\x07", "G0 \x84"])
def test_bytes_that_a_firmware_may_obey_at_once_are_refused(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match="not plain text"):
        meaning(text, TABLE)


def test_a_long_line_is_refused() -> None:
    assert meaning("G0 " + "X" * 253, TABLE) is not None
    with pytest.raises(InvalidArgumentError, match="at most 256 bytes"):
        meaning("G0 " + "X" * 254, TABLE)


def test_arguments_are_counted() -> None:
    call = TABLE.call("endpoint add tcp")
    assert isinstance(call, Call)
    with pytest.raises(InvalidArgumentError, match="usage: `endpoint add KIND HOST:PORT`"):
        call.command.require_count(call.arguments)


def test_help_names_every_command_and_all_that_is_known_of_one() -> None:
    text = "\n".join(TABLE.help())
    assert all(name in text for name in TABLE.names)
    assert TABLE.help_of("devices") == [
        "devices",
        "  show the ports",
        "  needs the right to view",
        "  also: device list",
    ]
    assert "  only at the prompt" in TABLE.help_of("rearm")
    with pytest.raises(NotFoundError, match="no command 'nothing'"):
        TABLE.help_of("nothing")
