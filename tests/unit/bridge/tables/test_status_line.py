"""The status line fits its terminal; what matters least goes first."""

from __future__ import annotations

from dataclasses import replace

import pytest

from usbshare.base.terminal_text import width
from usbshare.bridge.tables.status_line import Status, status_line
from usbshare.client.serial.latency import LatencySummary

BUSY = Status(
    state="connected",
    target="127.0.0.1:50851",
    port="demo",
    path="/run/COM10",
    latency=LatencySummary(1.2, 1.1, 14.7, 68.1),
    queue_commands=0,
    reconnections=2,
    sent_bytes=123_456_789,
    received_bytes=28,
    lost_bytes=0,
)


@pytest.mark.parametrize("columns", [0, 1, 5, 20, 39, 60, 79, 100, 119])
@pytest.mark.parametrize("condition", ["", "latched", "job lost, held: link lost"])
@pytest.mark.parametrize("port", ["demo", "レーザー加工機", "laser-in-the-big-workshop-upstairs"])
def test_the_line_is_never_wider_than_the_terminal(columns: int, condition: str, port: str) -> None:
    line = status_line(replace(BUSY, condition=condition, port=port), columns)
    assert width(line) <= columns


def test_with_room_everything_is_there() -> None:
    assert status_line(BUSY, 200) == (
        "demo at 127.0.0.1:50851: connected | 1.2/1.1/14.7/68.1 ms now/min/avg/max | queue 0 | "
        "123 MB out | 28 B in | 2 reconnections"
    )


def test_eighty_columns_hold_state_latency_queue_and_traffic() -> None:
    assert (
        status_line(BUSY, 79)
        == "demo: connected | 1.2/1.1/14.7/68.1 ms | queue 0 | 123 MB out | 28 B in"
    )


def test_forty_columns_hold_state_and_what_is_latched() -> None:
    assert status_line(BUSY, 39) == "demo: connected | 1.2 ms | queue 0"
    latched = replace(BUSY, condition="latched", lost_bytes=5)
    assert status_line(latched, 39) == "demo: connected | LATCHED | 5 B lost"
