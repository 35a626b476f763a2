"""What holds a port: who did it, what the machine says, and what ends it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from fakes.clock import FakeClock
from usbshare.line.profiles import GRBL, MARLIN
from usbshare.serial_svc.stop.activity import SETTLED_S
from usbshare.serial_svc.stop.hold import UNCONFIRMED, HoldCause, Holds

ANN = "usbshare://site/ann"


class Bench:
    def __init__(self) -> None:
        self.clock, self.changes = FakeClock(), 0
        self.holds = Holds(self.clock, self._changed, lambda: datetime(2026, 1, 1, tzinfo=UTC))

    def _changed(self) -> None:
        self.changes += 1

    @property
    def cause(self) -> HoldCause | None:
        hold = self.holds.current
        return hold.cause if hold is not None else None

    def says(self, state: bytes, *, after_s: float = SETTLED_S) -> None:
        self.clock.advance(after_s)
        self.holds.reported(state, self.clock())


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.mark.parametrize("data", [b"!", b"\x84", b"?!", b"~!"])
def test_a_programs_own_hold_is_reported_with_its_name(bench: Bench, data: bytes) -> None:
    bench.holds.realtime(GRBL, data, ANN)
    hold = bench.holds.current
    assert hold is not None
    assert (hold.cause, hold.who) == (HoldCause.PROGRAM, ANN)
    assert bench.changes == 1


@pytest.mark.parametrize("data", [b"~", b"!~", b"?~?"])
def test_a_resume_ends_it_once_the_machine_says_so(bench: Bench, data: bytes) -> None:
    bench.holds.machine_held(HoldCause.STOP, ANN)
    bench.holds.realtime(GRBL, data, ANN)
    assert bench.cause is HoldCause.STOP
    number = bench.holds.number
    bench.says(b"Hold:1")
    bench.says(b"Hold:0")
    assert (bench.cause, bench.holds.number) == (HoldCause.STOP, number)
    bench.says(b"Run")
    assert bench.cause is None


def test_a_resume_ends_no_alarm(bench: Bench) -> None:
    bench.says(b"Alarm")
    bench.holds.realtime(GRBL, b"~", ANN)
    assert bench.cause is HoldCause.ALARM


def test_a_machine_that_does_not_answer_after_a_command_is_shown_as_such(bench: Bench) -> None:
    bench.holds.machine_held(HoldCause.STOP, ANN, "lunch")
    bench.holds.machine_unconfirmed()
    hold = bench.holds.current
    assert hold is not None
    assert hold.reason == f"lunch; {UNCONFIRMED}"
    bench.says(b"Hold:0")
    hold = bench.holds.current
    assert hold is not None
    assert hold.reason == "lunch"


def test_firmware_that_throws_moves_away_does_not_stay_held(bench: Bench) -> None:
    bench.holds.realtime(MARLIN, b"M410\n", ANN)
    assert bench.cause is None


@pytest.mark.parametrize("state", [b"Hold:0", b"Hold:1", b"Door:0", b"Door:1", b"Door:2", b"Hold"])
def test_a_machine_that_says_so_is_held(bench: Bench, state: bytes) -> None:
    bench.says(state)
    assert bench.cause is HoldCause.MACHINE
    assert bench.holds.machine_state == state.decode()
    assert bench.changes == 1
    bench.says(state)
    assert bench.changes == 1


@pytest.mark.parametrize("state", [b"Run", b"Idle", b"Jog", b"Door:3", b"Check", b"Home"])
def test_a_machine_that_continues_is_not_held_any_more(bench: Bench, state: bytes) -> None:
    bench.holds.machine_held(HoldCause.STOP, ANN)
    bench.says(b"Hold:0")
    assert bench.cause is HoldCause.STOP
    bench.says(state)
    assert bench.cause is None


def test_an_alarm_is_reported_and_ends_what_was_held(bench: Bench) -> None:
    bench.holds.machine_held(HoldCause.PROGRAM, ANN)
    bench.says(b"Alarm")
    assert bench.cause is HoldCause.ALARM
    assert not bench.holds.is_machine_held
    bench.says(b"Idle")
    assert bench.cause is None


def test_a_report_that_crossed_with_a_hold_or_a_resume_says_nothing(bench: Bench) -> None:
    bench.holds.machine_held(HoldCause.STOP, ANN)
    bench.says(b"Run", after_s=SETTLED_S / 2)
    assert bench.cause is HoldCause.STOP
    bench.holds.machine_resumed(will_report=False)
    bench.says(b"Hold:0", after_s=SETTLED_S / 2)
    assert bench.cause is None


def test_commands_of_a_lost_session_are_held_in_every_state_of_the_machine(bench: Bench) -> None:
    bench.holds.session_held(HoldCause.LINK_LOSS, "link-loss policy", "lost")
    bench.holds.session_waits(26, 7.5)
    bench.says(b"Run")
    hold = bench.holds.current
    assert hold is not None
    assert (hold.cause, hold.waiting_bytes, hold.waiting_age_s) == (HoldCause.LINK_LOSS, 26, 7.5)
    bench.holds.session_released()
    assert bench.cause is None


def test_a_reset_ends_all_and_a_device_that_is_gone_says_nothing(bench: Bench) -> None:
    bench.says(b"Hold:0")
    bench.holds.session_held(HoldCause.WAITING, ANN, "")
    bench.holds.cleared()
    assert bench.cause is None
    bench.holds.forget_machine()
    assert bench.holds.machine_state == ""


def reason_of(bench: Bench) -> str:
    hold = bench.holds.current
    return "" if hold is None else hold.reason


def test_an_alarm_is_kept_in_the_firmwares_words_until_it_is_over(bench: Bench) -> None:
    bench.says(b"Run")
    bench.holds.alarmed("ALARM:2")
    number = bench.holds.number
    bench.says(b"Run", after_s=0)  # it crossed with the alarm
    assert (bench.cause, reason_of(bench)) == (HoldCause.ALARM, "ALARM:2")
    bench.says(b"Alarm")
    assert (bench.holds.number, reason_of(bench)) == (number, "ALARM:2")
    bench.says(b"Idle")
    assert bench.cause is None


@pytest.mark.parametrize(
    ("words", "then"), [("ALARM:1", "ALARM:1 (reset since)"), ("ALARM:3", "ALARM:3")]
)
def test_a_greeting_says_that_the_reset_an_alarm_waits_for_was_done(
    bench: Bench, words: str, then: str
) -> None:
    bench.holds.alarmed(words)
    bench.holds.greeted()
    assert reason_of(bench) == then
    bench.says(b"Alarm")
    assert reason_of(bench) == then


def test_a_greeting_alone_holds_nothing(bench: Bench) -> None:
    bench.holds.greeted()
    assert bench.cause is None
