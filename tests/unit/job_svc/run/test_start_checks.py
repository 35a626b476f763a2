"""What stands in the way of a start: what the port knows now, not what was reported long ago."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from fakes.remote import REMOTE
from usbshare.base.errors import WrongStateError
from usbshare.client.serial.messages import Hold, RemoteLatch, RemotePort
from usbshare.job_svc.run.start_checks import require_ready, require_untouched
from usbshare.line.profiles import GRBL

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
OPEN = replace(REMOTE, state="open", profile=GRBL)
LATCH = RemoteLatch("emergency stop", "usbshare://site/bob", "smoke", NOON, 2)


@pytest.mark.parametrize("state", ["", "Idle", "Run", "Door:0", "Alarm"])
def test_a_report_from_before_is_no_obstacle_as_the_machine_is_asked_anew(state: str) -> None:
    require_ready(replace(OPEN, machine_state=state))


@pytest.mark.parametrize(
    ("port", "text"),
    [
        (replace(OPEN, latched=True, latch=LATCH), "is latched since .*re-arm it first"),
        (replace(OPEN, hold=Hold("stop", "bob", NOON, "resume")), "is held .*resume it"),
        (replace(OPEN, holder="bob"), "is in use by bob"),
    ],
)
def test_a_port_that_is_held_latched_or_in_use_is_named(port: RemotePort, text: str) -> None:
    with pytest.raises(WrongStateError, match=text):
        require_ready(port)


@pytest.mark.parametrize(
    "now", [replace(OPEN, epoch=2), replace(OPEN, hold_number=1), None], ids=str
)
def test_a_port_that_was_stopped_or_held_since_is_looked_at_first(now: RemotePort | None) -> None:
    require_untouched(OPEN, replace(OPEN, holder="job-svc", machine_state="Idle"))
    with pytest.raises(WrongStateError, match="check the machine, then start the job again"):
        require_untouched(OPEN, now)
