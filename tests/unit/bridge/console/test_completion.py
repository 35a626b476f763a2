"""What Tab offers at the console's prompt."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from usbshare.bridge.console.completion import offered
from usbshare.bridge.console.lines import Kind, Line, in_console_words
from usbshare.bridge.console.table import Asker, Command, Table


async def nothing(_: Asker, __: Sequence[str]) -> Sequence[Line]:
    return []


NAMES = ("endpoint add", "endpoint list", "endpoint remove", "help", "stop", "status", "use")
TABLE = Table([Command(name, "", nothing) for name in NAMES])


@pytest.mark.parametrize(
    ("before", "words"),
    [
        ("st", ["status", "stop"]),
        ("endpoint ", ["add", "list", "remove"]),
        ("endpoint a", ["add"]),
        ("endpoint add ", ["rfc2217", "tcp", "udp"]),
        ("endpoint add tcp ", ["127.0.0.1:"]),
        ("endpoint remove ", ["tcp://127.0.0.1:8023"]),
        ("use ", ["laser", "mill"]),
        ("use m", ["mill"]),
        ("help sta", ["status"]),
        ("G0", []),
        ("stop ", []),
    ],
)
def test_only_what_fits_is_offered(before: str, words: list[str]) -> None:
    ports, endpoints = ["laser", "mill"], ["tcp://127.0.0.1:8023"]
    assert offered(TABLE, before, lambda: ports, lambda: endpoints) == words


def test_a_person_reads_the_consoles_own_commands() -> None:
    text = "latched until `usbshare-bridge stop --rearm --target l --port p --epoch 3`; or else"
    assert in_console_words(Line(text, Kind.OK)).text == "latched until `rearm`; or else"
