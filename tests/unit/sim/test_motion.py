from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from usbshare.sim.motion import Phase, brake_profile, speed_profile, travel_time
from usbshare.sim.planner import BLOCKS, Move, Planner
from usbshare.sim.settings import Settings

speeds = st.floats(0, 200)
lengths = st.floats(0.01, 400)
coordinates = st.floats(-200, 200).map(lambda value: round(value, 1))


def length_of(phases: list[Phase]) -> float:
    return sum(p.speed * p.duration_s + p.acceleration * p.duration_s**2 / 2 for p in phases)


def end_speed(phases: list[Phase]) -> float:
    return phases[-1].speed + phases[-1].acceleration * phases[-1].duration_s


@settings(deadline=None)
@given(speeds, lengths, st.floats(0.1, 200), speeds, st.floats(10, 5000))
def test_a_profile_covers_its_length_within_its_limits(
    v0: float, length: float, nominal: float, v1: float, a: float
) -> None:
    phases = speed_profile(v0, length, nominal, v1, a)
    assert length_of(phases) == pytest.approx(length, rel=1e-6, abs=1e-6)
    assert all(phase.duration_s >= -1e-12 for phase in phases)
    assert end_speed(phases) <= max(v0, nominal) + 1e-6


@settings(deadline=None)
@given(speeds, lengths, st.floats(0.1, 200), speeds, st.floats(10, 5000))
def test_the_time_of_a_profile_is_that_of_its_phases(
    v0: float, length: float, nominal: float, v1: float, a: float
) -> None:
    phases = speed_profile(v0, length, nominal, v1, a)
    time_s, speed = travel_time(v0, length, nominal, v1, a)
    assert time_s == pytest.approx(sum(p.duration_s for p in phases), rel=1e-6, abs=1e-9)
    assert speed == pytest.approx(end_speed(phases), abs=1e-6)


@settings(deadline=None)
@given(speeds, lengths, st.floats(10, 5000))
def test_braking_never_overruns(v0: float, length: float, a: float) -> None:
    phases = brake_profile(v0, length, a)
    assert length_of(phases) <= length + 1e-6
    assert end_speed(phases) >= -1e-9


@settings(deadline=None)
@given(st.lists(st.tuples(coordinates, coordinates), max_size=BLOCKS))
def test_the_plan_can_always_stop_at_its_end(points: list[tuple[float, float]]) -> None:
    planner = Planner(Settings())
    for x, y in points:
        planner.append(Move((x, y, 0.0), 100.0, 0.0))
    exit_sqr = 0.0
    for block in reversed(planner.blocks):
        reachable = exit_sqr + 2 * block.acceleration * block.length
        assert block.entry_sqr <= reachable + 1e-6
        assert block.entry_sqr <= block.max_entry_sqr + 1e-6
        exit_sqr = block.entry_sqr
    assert exit_sqr == 0


def test_planning_step_by_step_equals_planning_at_once() -> None:
    planner = Planner(Settings())
    for n in range(1, BLOCKS + 1):
        planner.append(Move((n / 3, math.sin(n), 0.0), 60.0, 0.0))
    stepwise = [block.entry_sqr for block in planner.blocks]
    planner.replan()
    assert [block.entry_sqr for block in planner.blocks] == pytest.approx(stepwise)


def test_the_planner_is_full_after_fifteen_blocks() -> None:
    planner = Planner(Settings())
    for n in range(1, BLOCKS + 1):
        assert not planner.full
        planner.append(Move((float(n), 0.0, 0.0), 1.0, 0.0))
    assert planner.full
    assert planner.free == 0
