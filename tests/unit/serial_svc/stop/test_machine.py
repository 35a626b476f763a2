"""A machine rests once its program knows that it is idle, and not before."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from usbshare.serial_svc.stop.machine import REST_S, KnownRest


def test_a_machine_that_was_not_written_to_is_at_rest() -> None:
    assert KnownRest().was_known(0.0)


def test_an_idle_report_counts_once_the_program_has_had_it_for_a_while() -> None:
    rest = KnownRest()
    rest.works()
    rest.idles(100)
    assert not rest.acknowledged(99, 10.0)
    assert rest.acknowledged(100, 11.0)
    assert not rest.was_known(11.0 + REST_S - 0.01)
    assert rest.was_known(11.0 + REST_S)


def test_the_first_idle_report_of_a_rest_is_enough() -> None:
    rest = KnownRest()
    rest.works()
    rest.idles(100)
    rest.idles(500)
    assert rest.acknowledged(100, 0.0)


def test_an_acknowledgement_of_what_was_said_before_the_work_says_nothing() -> None:
    rest = KnownRest()
    rest.works()
    assert not rest.acknowledged(1000, 0.0)


def test_a_stop_leaves_nothing_to_do() -> None:
    rest = KnownRest()
    rest.works()
    rest.stopped()
    assert rest.was_known(0.0)


@given(
    st.lists(
        st.one_of(st.just("work"), st.just("idle"), st.integers(0, 40)),
        max_size=30,
    )
)
def test_a_machine_rests_only_after_an_idle_report_behind_its_last_work(
    steps: list[str | int],
) -> None:
    rest, idle_at, known = KnownRest(), None, True
    for offset, step in enumerate(steps, start=1):
        if step == "work":
            rest.works()
            idle_at, known = None, False
        elif step == "idle":
            rest.idles(offset)
            idle_at = offset if idle_at is None else idle_at
        elif isinstance(step, int):
            rest.acknowledged(step, 0.0)
            known = known or (idle_at is not None and step >= idle_at)
        assert rest.is_known == known
