"""What Tab offers at the console's prompt."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from usbshare.bridge.console.completion import Known, offered
from usbshare.bridge.console.lines import Kind, Line, for_people
from usbshare.bridge.console.table import Asker, Command, Table


async def nothing(_: Asker, __: Sequence[str]) -> Sequence[Line]:
    return []


NAMES = ("endpoint add", "endpoint list", "endpoint remove", "help", "jobs", "stop", "status")
TABLE = Table([Command(name, "", nothing) for name in (*NAMES, "use")])


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
        ("jobs ", ["17"]),
        ("G0", []),
        ("stop ", []),
    ],
)
def test_only_what_fits_is_offered(before: str, words: list[str]) -> None:
    ports, jobs, endpoints = ["laser", "mill"], ["17"], ["tcp://127.0.0.1:8023"]
    known = Known(lambda: ports, lambda: jobs, lambda: endpoints)
    assert offered(TABLE, before, known) == words


def test_a_person_reads_the_consoles_own_commands() -> None:
    text = "latched until `usbshare-bridge stop --rearm --target l --port p --epoch 3`; or else"
    assert for_people(Line(text, Kind.OK)).text == "latched until `rearm`; or else"


def test_a_person_reads_what_an_error_means() -> None:
    said = for_people(Line("error:20", Kind.PROBLEM))
    assert said == Line("error:20: GRBL has no such word", Kind.PROBLEM)
    assert for_people(Line("error:999", Kind.PROBLEM)).text == "error:999"
