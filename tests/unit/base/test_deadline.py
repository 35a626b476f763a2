"""Blocking work of a start is waited for aloud, and not for ever."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future, wait
from concurrent.futures._base import DoneAndNotDoneFutures
from types import SimpleNamespace

import pytest

from usbshare.base import deadline as module
from usbshare.base.deadline import Watched, in_time

LONG_S = 60.0


def test_quick_work_is_not_reported() -> None:
    said: list[str] = []
    assert in_time("the disk", lambda: 7, said.append, LONG_S) == 7
    assert said == []


def test_an_error_of_the_work_is_raised() -> None:
    def fails() -> None:
        raise TimeoutError("of its own")

    said: list[str] = []
    with pytest.raises(TimeoutError, match="of its own"):
        in_time("the disk", fails, said.append, LONG_S)
    assert said == []


def test_slow_work_is_reported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ALOUD_AFTER_S", 0.0)
    said: list[str] = []
    goes_on = threading.Event()

    def tell(text: str) -> None:
        said.append(text)
        goes_on.set()

    assert in_time("the disk", lambda: goes_on.wait(LONG_S), tell, LONG_S)
    assert said == ["waiting for the disk: no answer yet; giving up in 60 s"]


def test_work_past_its_deadline_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ALOUD_AFTER_S", 0.0)
    goes_on = threading.Event()
    with pytest.raises(TimeoutError):
        in_time("the disk", goes_on.wait, lambda _: None, 0.05)
    goes_on.set()


def test_work_that_progresses_is_neither_reported_nor_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, said, goes_on = [0.0], list[str](), threading.Event()
    watched = Watched("the disk", said.append, 0.5)

    def passes(futures: Sequence[Future[int]], left_s: float) -> DoneAndNotDoneFutures[int]:
        """Let nearly all the time pass that it may be silent."""
        now[0] += 0.9 * left_s
        watched.moved()
        if now[0] < 10.0:
            return wait(futures, 0)
        goes_on.set()
        return wait(futures, LONG_S)

    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(module, "wait", passes)
    assert watched.run(lambda: 7 if goes_on.wait(LONG_S) else 0) == 7
    assert said == []
