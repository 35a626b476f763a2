"""A connection that dies costs no byte: real processes, with a network between them that fails."""

from __future__ import annotations

import os
import random
import select
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fakes.exchange import OneWay
from fakes.exchange_rig import read, rig
from fakes.network import Network
from fakes.processes import run


def test_a_connection_that_is_killed_again_and_again_costs_no_byte(tmp_path: Path) -> None:
    kill_while_exchanging(tmp_path, kills=20, size=2_000_000)


@pytest.mark.slow
def test_500_kills_during_20_megabytes_each_way_cost_no_byte(tmp_path: Path) -> None:
    kill_while_exchanging(tmp_path, kills=500, size=20_000_000)


def kill_while_exchanging(home: Path, kills: int, size: int) -> None:
    with rig(home) as made:
        there = OneWay(made.program, made.device, size, seed=1)
        back = OneWay(made.device, made.program, size, seed=2)
        start = time.monotonic()
        for way in (there, back):
            way.start()
        kill_at_random_moments(made.network, there, back, kills, size)
        for way in (there, back):
            way.check()
        took_s = time.monotonic() - start
        made.check_ends()
        resumed = made.wait_for("resumed", len(made.events("lost")))
        report(kills, size, took_s, resumed)
        assert len(resumed) > kills // 2, "most kills hit sessions, not attempts to connect"
        for name in ("not_resumed", "hung_up", "closed", "losing"):
            assert made.events(name) == []


def kill_at_random_moments(
    network: Network, there: OneWay, back: OneWay, kills: int, size: int
) -> None:
    """Kill a connection that lives, so many times, spread over three quarters of the bytes."""
    chance = random.Random(kills)
    most_progress = 2 * int(2 * size * 0.75 / kills)
    for _ in range(kills):
        moment = there.count + back.count + chance.randrange(most_progress)
        while there.count + back.count < moment or not network.cut(rst=chance.random() < 0.5):
            assert not (there.is_over and back.is_over)
            select.select([], [], [], 0.001)


def report(kills: int, size: int, took_s: float, resumed: list[dict[str, Any]]) -> None:
    away = sorted(event["away_s"] for event in resumed)
    resent = sum(event["resent_bytes"] for event in resumed)
    print(  # the figures of a run are for people
        f"RESULT kills={kills} resumed={len(resumed)} bytes_each_way={size} resent_bytes={resent} "
        f"seconds={took_s:.1f} away_p50_s={away[len(away) // 2]:.3f} away_max_s={away[-1]:.3f}"
    )


def test_a_connection_that_goes_silent_costs_no_byte(tmp_path: Path) -> None:
    with rig(tmp_path, more_config='link_loss = "continue"\n') as made:
        there = OneWay(made.program, made.device, 500_000, seed=1)
        back = OneWay(made.device, made.program, 500_000, seed=2)
        for way in (there, back):
            way.start()
        while there.count + back.count < 300_000:
            select.select([], [], [], 0.002)
        assert made.network.abandon() > 0
        for way in (there, back):
            way.check()
        made.check_ends()
        assert len(made.events("resumed")) == 1
        assert made.events("not_resumed") == []


def test_a_program_waits_while_the_link_is_away_and_continues_after_it(tmp_path: Path) -> None:
    with rig(tmp_path, more_config='link_loss = "continue"\n') as made:
        made.network.refuse()
        made.network.cut()
        made.wait_for("lost", 1)
        there = OneWay(made.program, made.device, 200_000, seed=1)
        there.start()
        made.wait_for("waiting", 3)
        assert there.count == 0
        made.network.heal()
        there.check()
        made.check_ends()
        assert made.wait_for("status", 1)[-1]["lost_bytes"] == 0


def test_a_program_whose_session_is_over_is_told_and_hung_up(tmp_path: Path) -> None:
    with rig(tmp_path, more_config="resume_window_s = 1\n") as made:
        made.network.refuse()
        made.network.cut()
        made.wait_for("lost", 1)
        os.write(made.program, b"x" * 100)
        (lost,) = made.wait_for("not_resumed", 1)
        assert lost["program_bytes"] == 100
        (hung_up,) = made.wait_for("hung_up", 1)
        assert "100 bytes" in hung_up["text"]
        with pytest.raises(OSError, match="Input/output"):
            os.write(made.program, b"more")
        made.network.heal()
        made.wait_for("connected", 2)
        made.wait_for("held", 1)
        assert len(made.events("hung_up")) == 1
        with reopened(tmp_path) as program:
            os.write(program, b"behind the hole\n")
            made.wait_for("refused", 1)
            rearm = ["bridge", "stop", "--rearm", "--target", made.target]
            assert run(rearm, tmp_path)[0] == 0
            made.wait_for("released", 1)
            os.write(program, b"anew\n")
            assert read(made.device, 5) == b"anew\n"


@contextmanager
def reopened(home: Path) -> Iterator[int]:
    program = os.open(home / "run" / "usbshare" / "C", os.O_RDWR | os.O_NOCTTY)
    try:
        yield program
    finally:
        os.close(program)
