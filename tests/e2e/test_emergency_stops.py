"""Emergency stops in the middle of jobs: nothing of the old epoch follows, nothing goes on.

`pytest -m slow` does it two hundred times; figures are printed.
"""

from __future__ import annotations

import os
import random
import re
import time
from pathlib import Path

import pytest

from fakes.job_rig import Rig, open_port, rig, unlock, until
from fakes.processes import run

JOB = ["G21", "G90", "M4"] + [f"G1 X{n % 40} Y{n % 7} S500 F3000" for n in range(2000)]


def stop(used: Rig, target: str, *flags: str) -> None:
    code, output = run(["bridge", "stop", "--target", target, *flags], used.home)
    assert code == 0, output


def stop_a_job(used: Rig, target: str, number: int, chance: random.Random) -> None:
    """Run a job, stop it at a random moment, with a connection lost before, after, or not."""
    job = used.job([f"(job {number})", *JOB])
    moment = chance.randrange(1, 60)
    until(lambda: job.answered >= moment, f"line {moment} of job {number}")
    lost_when = chance.choice(("before", "after", "never"))
    if lost_when == "before":
        used.proxy.cut(rst=chance.random() < 0.5)
    stop(used, target)
    if lost_when == "after":
        used.proxy.cut(rst=chance.random() < 0.5)
    until(lambda: job.failure, "the program's port hangs up")
    # The byte is in the machine's line once the stop is confirmed; a busy machine reads it later.
    until(lambda: used.machine.events("reset") > number, "the machine takes the reset")
    reset_at = used.machine.times_of("reset")[number]
    assert used.machine.beam_on_between(reset_at, time.monotonic()) == 0
    latched = used.machine.received()
    refused = used.bridge.output.count('"refused"')
    again = open_port(used.vcom)
    os.write(again, b"(nobody has re-armed)\nG1 X5\n")
    until(lambda: used.bridge.output.count('"refused"') > refused, "program bytes are refused")
    assert used.machine.received() == latched
    stop(used, target, "--rearm")
    unlock(again)
    os.close(again)


def stop_often(home: Path, times: int, seed: int) -> None:
    chance = random.Random(seed)
    with rig(home, link_timeout_s=2.0) as used:
        target = used.service_target
        for number in range(times):
            stop_a_job(used, target, number, chance)
        pieces = used.machine.received().split(b"\x18")
        jobs = [re.search(rb"\((job \d+)\)", piece) for piece in pieces[:-1]]
        assert [found and found[1] for found in jobs] == [b"job %d" % n for n in range(times)]
        for piece in pieces[:-1]:
            assert re.match(rb"[\r\n?$X]*\(job \d+\)", piece), piece[:60]
        assert not used.machine.has(b"(nobody")
    print(f"{times} emergency stops: no byte of an old epoch after any of them")


def test_nothing_follows_an_emergency_stop(tmp_path: Path) -> None:
    stop_often(tmp_path, 5, seed=3)


@pytest.mark.slow
def test_nothing_follows_two_hundred_emergency_stops(tmp_path: Path) -> None:
    stop_often(tmp_path, 200, seed=4)
