"""A viewer on a slow link sees fewer, then smaller, then coarser pictures, but never old ones."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from usbshare.camera_svc.picture.frame import Picture, Recipe, Stamp
from usbshare.camera_svc.viewers.adaptation import LEVELS, TARGET_S, Adaptation
from usbshare.camera_svc.viewers.viewer import View, Viewer

FPS = 30
NATIVE_WIDTH = 1280
FULL_BYTES = 139_000


@dataclass
class Link:
    """A viewer behind a link of a given rate and round trip; time goes in milliseconds."""

    bytes_per_s: float
    round_trip_s: float
    now: float = 0.0
    full_bytes: int = FULL_BYTES
    ages: list[tuple[float, float, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.viewer = Viewer(View(), lambda: self.now, lambda: None)
        self.viewer.camera_rate(FPS)
        self.viewer.opened_acknowledged(self.round_trip_s)
        self._on_the_way: list[tuple[float, int, float]] = []
        self._free_at = 0.0
        self._sequence = 0

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        next_frame = self.now
        while self.now < end:
            if self.now >= next_frame:
                next_frame += 1 / FPS
                self._capture()
            self._arrivals()
            self.now += 0.001

    def _capture(self) -> None:
        self._sequence += 1
        if not self.viewer.wants(self._sequence):
            return
        recipe = self.viewer.recipe(NATIVE_WIDTH)
        size = self._size(recipe)
        picture = Picture(self._sequence, Stamp(self.now, 0), recipe.width, 0, b"")
        if not self.viewer.offer(picture, bytes(size)):
            return
        self.viewer.take()
        self._free_at = max(self._free_at, self.now) + size / self.bytes_per_s
        self._on_the_way.append((self._free_at + self.round_trip_s / 2, self._sequence, self.now))

    def _size(self, recipe: Recipe) -> int:
        part = (recipe.width or NATIVE_WIDTH) / NATIVE_WIDTH
        quality = (recipe.quality or 80) / 80
        return int(self.full_bytes * part**1.7 * (0.25 + 0.75 * quality))

    def _arrivals(self) -> None:
        while self._on_the_way and self._on_the_way[0][0] <= self.now - self.round_trip_s / 2:
            arrived, sequence, captured = self._on_the_way.pop(0)
            self.ages.append((arrived, arrived - captured, sequence))
            self.viewer.acknowledged(sequence)

    def oldest_s(self, since: float) -> float:
        """The greatest age that the picture on the viewer's screen had."""
        shown = [(at, age) for at, age, _ in self.ages if at >= since]
        return max(age for _, age in shown)

    def fps(self, since: float) -> float:
        return sum(at >= since for at, _, _ in self.ages) / (self.now - since)


def test_a_link_of_two_megabits_shows_pictures_that_are_never_old() -> None:
    link = Link(bytes_per_s=250_000, round_trip_s=0.02)
    link.run(60)
    assert link.oldest_s(since=5) <= 0.4
    assert link.fps(since=5) >= 4


def test_a_fast_link_gets_every_frame_as_it_is() -> None:
    link = Link(bytes_per_s=100_000_000, round_trip_s=0.001)
    link.run(10)
    assert link.fps(since=1) >= 29
    assert link.viewer.recipe(NATIVE_WIDTH) == Recipe(0, 0)


def test_a_long_round_trip_is_filled_by_a_wider_window() -> None:
    link = Link(bytes_per_s=100_000_000, round_trip_s=0.08)
    link.run(10)
    assert link.viewer.allowed == 3
    assert link.fps(since=1) >= 29


def test_a_link_that_recovers_gets_the_whole_picture_back() -> None:
    link = Link(bytes_per_s=250_000, round_trip_s=0.01)
    link.run(20)
    assert link.viewer.recipe(NATIVE_WIDTH).width
    link.bytes_per_s = 50_000_000
    link.run(60)
    assert link.viewer.recipe(NATIVE_WIDTH) == Recipe(0, 0)


def test_a_scene_that_grows_tenfold_is_shown_smaller_and_not_late() -> None:
    link = Link(bytes_per_s=1_000_000, round_trip_s=0.01, full_bytes=60_000)
    link.run(20)
    link.full_bytes = 600_000
    link.run(20)
    assert link.oldest_s(since=5) <= 0.4


def test_frames_get_fewer_before_they_get_smaller() -> None:
    link = Link(bytes_per_s=FULL_BYTES / (0.9 * TARGET_S), round_trip_s=0.005)
    link.run(20)
    assert link.viewer.recipe(NATIVE_WIDTH) == Recipe(0, 0)
    assert link.fps(since=5) < 10


@settings(deadline=None, max_examples=20)
@given(
    rate=st.floats(60_000, 20_000_000),
    round_trip=st.floats(0.0005, 0.15),
)
def test_pictures_arrive_and_are_not_old_over_any_link(rate: float, round_trip: float) -> None:
    link = Link(rate, round_trip)
    link.run(25)
    assert link.fps(since=5) >= 2
    assert link.oldest_s(since=8) <= 0.4 + round_trip / 2


def test_the_way_down_ends_at_the_smallest() -> None:
    now = [0.0]
    adaptation = Adaptation(lambda: now[0])
    for _ in range(50):
        now[0] += 1
        adaptation.delivered(10_000, 5.0)
    assert adaptation.level == LEVELS[-1]
    assert not adaptation.is_too_big(1_000_000)  # nothing smaller can be made
