"""A client that is heard and hears nothing is noticed; one that is merely slow is not."""

from __future__ import annotations

import pytest

from usbshare.serial_svc.sessions.hearing import GRACE_S, Hearing

INTERVAL_S = 0.25
TIMEOUT_S = 2.0
STEP_S = 0.01


class Link:
    """A client's heartbeats over a link of some delay; `deaf_at` is when its downlink is lost."""

    def __init__(self, round_trip_s: float, deaf_at: float = float("inf")) -> None:
        self.hearing = Hearing(0.0)
        self._one_way_s = round_trip_s / 2
        self._round_trip_s = round_trip_s
        self._deaf_at = deaf_at
        self._up: list[tuple[float, int, int]] = []
        self._down: list[tuple[float, int]] = []

    def lost_at(self, until_s: float, *, tells: bool = True) -> float | None:
        """Return when the service takes it for lost."""
        now, beats, heard, next_beat = 0.0, 0, 0, 0.0
        while now < until_s:
            now += STEP_S
            for at, answer in self._down:
                if at <= now and at < self._deaf_at:
                    heard = max(heard, answer)
            if now >= next_beat:
                beats, next_beat = beats + 1, next_beat + INTERVAL_S
                self._up.append((now + self._one_way_s, beats, heard))
            while self._up and self._up[0][0] <= now:
                _, beat, told = self._up.pop(0)
                self.hearing.heard(now)
                known_s = self._round_trip_s if told else 0.0
                self.hearing.beat(beat, told if tells else None, known_s, now)
                self._down.append((now + self._one_way_s, beat))
            if now - self.hearing.alive_at() > TIMEOUT_S:
                return now
        return None


@pytest.mark.parametrize("round_trip_s", [0.001, 0.05, 0.35, 0.7, 1.2, 1.6])
def test_a_slow_link_is_not_taken_for_one_that_is_lost_one_way(round_trip_s: float) -> None:
    assert Link(round_trip_s).lost_at(20.0) is None


@pytest.mark.parametrize("deaf_at", [5.0, 5.06, 5.13, 5.2, 5.24])
def test_a_lost_downlink_is_noticed_in_time(deaf_at: float) -> None:
    lost_at = Link(0.002, deaf_at).lost_at(20.0)
    assert lost_at is not None
    assert deaf_at + TIMEOUT_S - INTERVAL_S <= lost_at <= deaf_at + TIMEOUT_S + 0.25


@pytest.mark.parametrize("round_trip_s", [0.35, 1.2])
def test_a_lost_downlink_of_a_slow_link_takes_its_round_trip_longer(round_trip_s: float) -> None:
    lost_at = Link(round_trip_s, 5.0).lost_at(20.0)
    assert lost_at is not None
    assert lost_at <= 5.0 + TIMEOUT_S + round_trip_s + 0.25


def test_a_downlink_that_is_lost_from_the_beginning_is_noticed_too() -> None:
    lost_at = Link(0.002, 0.0).lost_at(20.0)
    assert lost_at is not None
    assert lost_at <= TIMEOUT_S + 0.25


def test_a_client_that_reports_nothing_heard_is_judged_by_what_it_sends() -> None:
    assert Link(0.002, 5.0).lost_at(20.0, tells=False) is None


def test_another_stream_starts_again() -> None:
    hearing = Hearing(0.0)
    hearing.beat(1, 0, 0.0, now=10.0)
    hearing.begin()
    hearing.heard(50.0)
    assert hearing.alive_at() == 50.0
    hearing.beat(2, 1, 0.0, now=60.0)
    assert hearing.last_at == pytest.approx(60.0 + GRACE_S)


def test_ids_that_were_never_sent_and_floods_cost_nothing() -> None:
    hearing = Hearing(0.0)
    for number in range(10_000):
        hearing.beat(number, 0, 0.0, now=float(number))
    hearing.beat(1, 1 << 63, 1e9, now=10_000.0)
    assert hearing.last_at is not None
    assert hearing.last_at <= 10_000.0 + 2.0 + GRACE_S
