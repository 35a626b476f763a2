"""When a machine that starts, or that owes replies, takes lines."""

from __future__ import annotations

import pytest

from usbshare.serial_svc.sessions.readiness import WELCOME_TIMEOUT_S, Readiness


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def machine(clock: Clock) -> Readiness:
    return Readiness(clock)


def takes_lines(machine: Readiness) -> bool:
    return not machine.waits


def test_a_machine_that_was_reset_takes_lines_once_it_has_greeted(machine: Readiness) -> None:
    assert takes_lines(machine)
    machine.was_reset()
    assert not takes_lines(machine)
    assert not machine.reported(b"<Idle|MPos:0,0,0>")  # of before the reset, perhaps
    assert machine.greeted()
    assert takes_lines(machine)


def test_a_banner_that_nobody_awaited_is_told(machine: Readiness) -> None:
    assert not machine.greeted()


def test_a_machine_that_does_not_greet_is_given_up_once(machine: Readiness, clock: Clock) -> None:
    machine.was_reset()
    assert not machine.gives_up(WELCOME_TIMEOUT_S - 0.1)
    assert machine.gives_up(WELCOME_TIMEOUT_S)
    assert not machine.gives_up(WELCOME_TIMEOUT_S)
    assert takes_lines(machine)


def test_a_port_that_was_opened_is_ready_at_the_first_report(machine: Readiness) -> None:
    machine.was_reset(ends_at_report=True)
    assert machine.reported(b"<Run|MPos:0,0,0>")
    assert takes_lines(machine)


@pytest.mark.parametrize("state", [b"Idle", b"Alarm", b"Check", b"Sleep"])
def test_a_machine_that_owes_replies_takes_lines_once_it_rests(
    machine: Readiness, state: bytes
) -> None:
    machine.begin(owes_replies=True)
    assert not machine.reported(b"<Run|MPos:0,0,0>")
    assert not takes_lines(machine)
    assert machine.reported(b"<" + state + b"|MPos:0,0,0>")
    assert takes_lines(machine)


def test_a_banner_pays_all_that_was_owed(machine: Readiness) -> None:
    machine.begin(owes_replies=True)
    assert not machine.greeted()
    assert takes_lines(machine)


@pytest.mark.parametrize("message", [b"[MSG:Disabled]", b"[MSG:Restoring defaults]"])
def test_an_announced_event_comes_once_and_after_the_reply(
    machine: Readiness, message: bytes
) -> None:
    machine.said(b"[MSG:Check Door]")
    assert not machine.resets_itself()
    machine.said(message)
    assert machine.resets_itself()
    assert not machine.resets_itself()


def test_a_reset_that_came_is_awaited_no_more(machine: Readiness) -> None:
    machine.said(b"[MSG:Disabled]")
    machine.greeted()
    assert not machine.resets_itself()
