"""What one identity does all the time does not push out of the log what others did."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fakes.clock import FakeClock
from usbshare.common.audit.files import LogFiles, snapshot
from usbshare.common.audit.log import AuditLog
from usbshare.common.audit.sparing import (
    MOST_A_WINDOW,
    MOST_REMEMBERED,
    SPARED,
    WINDOW_S,
    Sparing,
)

ANN, BOB = "usbshare://s/ann", "usbshare://s/bob"


def entries(folder: Path) -> list[dict[str, Any]]:
    with snapshot(LogFiles(folder, "serial-svc")) as held:
        return [json.loads(line) for file in held.files for line in file.lines()]


@pytest.mark.parametrize("event", sorted(SPARED))
def test_of_one_identity_so_many_a_minute_are_written_and_the_next_line_counts_the_rest(
    tmp_path: Path, event: str
) -> None:
    clock = FakeClock()
    with AuditLog(tmp_path, "serial-svc", clock=clock) as audit:
        for _ in range(MOST_A_WINDOW + 7):
            audit.note(event, who=BOB)
        clock.advance(WINDOW_S)
        for _ in range(2):
            audit.note(event, who=BOB)
    told = [line.get("left_out_before") for line in entries(tmp_path)]
    assert told == [*[None] * MOST_A_WINDOW, 7, None]


@pytest.mark.parametrize(
    "event",
    ["stop", "stop failed", "re-armed", "control taken", "control given up", "refused", "revoked"],
)
def test_what_matters_is_never_left_out(tmp_path: Path, event: str) -> None:
    with AuditLog(tmp_path, "serial-svc", clock=FakeClock()) as audit:
        for _ in range(10 * MOST_A_WINDOW):
            audit.note(event, who=BOB)
    assert len(entries(tmp_path)) == 10 * MOST_A_WINDOW


def test_others_and_other_events_are_written_meanwhile() -> None:
    sparing = Sparing(FakeClock())
    for _ in range(2 * MOST_A_WINDOW):
        sparing.left_out_before("connected", BOB)
    assert sparing.left_out_before("connected", BOB) is None
    assert sparing.left_out_before("connected", ANN) == 0
    assert sparing.left_out_before("session opened", BOB) == 0


def test_only_so_many_identities_are_remembered() -> None:
    sparing = Sparing(FakeClock())
    for _ in range(MOST_A_WINDOW):
        sparing.left_out_before("connected", BOB)
    for number in range(MOST_REMEMBERED):
        sparing.left_out_before("connected", str(number))
    assert sparing.left_out_before("connected", BOB) == 0
