"""Who watches a job is told what becomes of it without the link, each time the link is lost."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fakes.remote_jobs import JOB
from usbshare.bridge.jobs.link_notices import LinkNotices
from usbshare.client.jobs.messages import HELD, RUNNING, RemoteJob

RUNS = replace(JOB, state=RUNNING)
CONTINUES = "the job continues on the host without it"
LEFT = "(left)"


def notices() -> tuple[LinkNotices, list[str]]:
    told: list[str] = []
    return LinkNotices(told.append, lambda: told.append(LEFT)), told


def test_each_loss_is_told_once_for_each_reason_and_so_is_the_return() -> None:
    link, told = notices()
    for _ in range(2):
        link.heard(RUNS)
        link.lost("pulled")
        link.lost("no route")
        link.lost("pulled")
    link.heard(RUNS)
    link.heard(RUNS)
    lost = [f"the link is lost; {CONTINUES}: {why}" for why in ("pulled", "no route")]
    assert told[::2] == [LEFT] * 6
    assert told[1::2] == [*lost, "the link is back"] * 2


@pytest.mark.parametrize(
    ("jobs", "said"),
    [
        ([RUNS], CONTINUES),
        ([replace(RUNS, attended=True)], "the host holds an attended job that nobody watches"),
        ([replace(JOB, state=HELD)], "the job stays held on the host"),
        ([JOB], "the host keeps its jobs"),
        ([], "the host keeps its jobs"),
        ([replace(JOB, state=HELD), replace(RUNS, id=18)], CONTINUES),
    ],
)
def test_the_notice_of_a_lost_link_depends_on_the_job(jobs: list[RemoteJob], said: str) -> None:
    link, told = notices()
    link.heard(*jobs)
    link.lost("pulled")
    assert told == [LEFT, f"the link is lost; {said}: pulled"]
