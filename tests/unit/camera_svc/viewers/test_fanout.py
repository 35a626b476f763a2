"""One frame is made once for all who want the same; the newest wins; the urgent come first."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import Any

import pytest

from usbshare.camera_svc.picture.frame import Picture, Raw, Recipe, Stamp
from usbshare.camera_svc.viewers.fanout import Fanout, Made
from usbshare.camera_svc.viewers.viewer import View, Viewer
from usbshare.line.profiles import Priority


class Later(Executor):
    """Runs nothing until told to."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Future[Any], Callable[[], Any]]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.waiting.append((future, lambda: fn(*args, **kwargs)))
        return future

    def run_one(self) -> None:
        future, work = self.waiting.pop(0)
        try:
            result = work()
        except ValueError as error:
            future.set_exception(error)
        else:
            future.set_result(result)

    def run_all(self) -> None:
        while self.waiting:
            self.run_one()


@dataclass
class Bench:
    most_at_once: int = 1
    now: float = 0.0
    made: list[tuple[int, Recipe]] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)
    fails: bool = False
    sequence: int = 0

    def __post_init__(self) -> None:
        self.executor = Later()
        self.fanout = Fanout(
            self._make,
            self.executor,
            lambda call, *args: call(*args),
            self.failures.append,
            self.most_at_once,
        )

    def _make(self, raw: Raw, recipe: Recipe) -> Made:
        if self.fails:
            raise ValueError("no picture")
        self.made.append((raw.sequence, recipe))
        data = f"{raw.sequence}/{recipe.width}".encode()
        return Picture(raw.sequence, raw.captured, raw.width, raw.height, data), data

    def viewer(self, window: int = 1, **view: Any) -> Viewer:
        viewer = Viewer(View(**view), lambda: self.now, lambda: None, window)
        self.fanout.join(viewer)
        return viewer

    def capture(self) -> None:
        self.sequence += 1
        self.now += 1 / 30
        self.fanout.captured(Raw(self.sequence, Stamp(self.now, 0), 1280, 720))


@pytest.fixture
def bench() -> Bench:
    return Bench()


def taken(viewer: Viewer) -> bytes | None:
    made = viewer.take()
    return made and made[1]


def test_viewers_who_want_the_same_share_one_encode(bench: Bench) -> None:
    viewers = [bench.viewer() for _ in range(8)]
    bench.capture()
    bench.executor.run_all()
    assert bench.made == [(1, Recipe(0, 0))]
    messages = [taken(viewer) for viewer in viewers]
    assert all(message is messages[0] for message in messages)


def test_each_size_is_made_once(bench: Bench) -> None:
    small = [bench.viewer(width=640) for _ in range(3)]
    large = [bench.viewer() for _ in range(3)]
    bench.capture()
    bench.executor.run_all()
    assert sorted(recipe.width for _, recipe in bench.made) == [0, 640]
    assert {taken(viewer) for viewer in small} == {b"1/640"}
    assert {taken(viewer) for viewer in large} == {b"1/0"}


def test_a_viewer_that_does_not_acknowledge_gets_no_more_and_then_the_newest(bench: Bench) -> None:
    viewer = bench.viewer()
    bench.capture()
    bench.executor.run_all()
    assert taken(viewer) == b"1/0"
    for _ in range(5):
        bench.capture()
    bench.executor.run_all()
    assert taken(viewer) is None
    assert viewer.counters.dropped_window == 4
    assert viewer.acknowledged(1)
    bench.fanout.serve()
    bench.executor.run_all()
    assert taken(viewer) == b"6/0"


def test_a_slow_viewer_costs_a_fast_one_nothing(bench: Bench) -> None:
    fast, slow = bench.viewer(), bench.viewer()
    for sequence in range(1, 11):
        bench.capture()
        bench.executor.run_all()
        assert taken(fast) == f"{sequence}/0".encode()
        fast.acknowledged(sequence)
    assert taken(slow) == b"1/0"
    assert slow.counters.sent_frames == 1


def test_the_newest_frame_is_made_when_the_encoder_was_busy(bench: Bench) -> None:
    viewer = bench.viewer()
    for _ in range(4):
        bench.capture()
    bench.executor.run_one()  # frame 1, begun before the others came
    assert taken(viewer) == b"1/0"
    viewer.acknowledged(1)
    bench.fanout.serve()
    bench.executor.run_all()
    assert taken(viewer) == b"4/0"
    assert [sequence for sequence, _ in bench.made] == [1, 4]


def test_the_operator_is_served_before_spectators_when_the_encoder_is_short(bench: Bench) -> None:
    bench.viewer(width=320, priority=Priority.LOW)
    operator = bench.viewer(width=960, priority=Priority.HIGH)
    bench.capture()  # the encoder takes one at a time
    bench.executor.run_one()
    assert taken(operator) == b"1/960"


def test_a_lower_rate_gets_evenly_spaced_frames(bench: Bench) -> None:
    viewer = bench.viewer(fps=10.0)
    sequences = []
    for _ in range(30):
        bench.capture()
        bench.executor.run_all()
        if made := viewer.take():
            sequences.append(made[0].sequence)
            viewer.acknowledged(made[0].sequence)
    assert sequences == list(range(1, 31, 3))
    assert viewer.counters.dropped_rate == 19
    assert viewer.counters.dropped_window == 0


def test_a_frame_that_cannot_be_made_is_reported_and_the_next_one_comes(bench: Bench) -> None:
    viewer = bench.viewer()
    bench.fails = True
    bench.capture()
    bench.executor.run_all()
    assert [str(error) for error in bench.failures] == ["no picture"]
    bench.fails = False
    bench.capture()
    bench.executor.run_all()
    assert taken(viewer) == b"2/0"


def test_a_new_viewer_gets_the_newest_frame_at_once(bench: Bench) -> None:
    bench.capture()
    viewer = bench.viewer()
    bench.executor.run_all()
    assert taken(viewer) == b"1/0"


def test_a_placeholder_reaches_all_viewers_and_the_live_picture_returns(bench: Bench) -> None:
    viewer = bench.viewer(width=640)
    bench.capture()
    bench.executor.run_all()
    viewer.take()
    viewer.acknowledged(1)
    bench.fanout.show(Picture(2, Stamp(1.0, 0), 1280, 720, b"lost", is_placeholder=True), b"lost")
    assert taken(viewer) == b"lost"
    viewer.acknowledged(2)
    bench.sequence = 2
    bench.capture()
    bench.executor.run_all()
    assert taken(viewer) == b"3/640"
