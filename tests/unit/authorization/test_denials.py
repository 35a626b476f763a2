"""Refused calls are told, not without end."""

from __future__ import annotations

import pytest

from fakes.clock import FakeClock
from usbshare.authorization.denials import PAUSE_S, Refusals
from usbshare.base.errors import LimitError, PermissionDeniedError, UsbshareError
from usbshare.base.throttle import MOST_KEYS


class Notes:
    """Remembers what was noted."""

    trouble = ""

    def __init__(self) -> None:
        self.left_out: list[object] = []

    def note(
        self, event: str, *, who: str = "", address: str = "", port: str = "", **fields: object
    ) -> None:
        assert event == "refused"
        self.left_out.append(fields["left_out"])


def refuse(refusals: Refusals, error: UsbshareError, who: str = "pc", method: str = "Stop") -> None:
    refusals.note(error, who=who, address="127.0.0.1:1", method=method, port="laser")


def test_one_per_second_of_each_kind_is_reported_and_the_others_are_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    notes, clock = Notes(), FakeClock()
    refusals = Refusals(notes, clock)
    denied = PermissionDeniedError("pc may not")
    for _ in range(10):
        refuse(refusals, denied)
    assert notes.left_out == [0]
    refuse(refusals, PermissionDeniedError("pc may not, said of something else"))
    assert notes.left_out == [0]
    refuse(refusals, LimitError("too many"))
    refuse(refusals, denied, who="other")
    refuse(refusals, denied, method="Rearm")
    assert notes.left_out == [0, 0, 0, 0]
    clock.advance(PAUSE_S)
    refuse(refusals, denied)
    assert notes.left_out == [0, 0, 0, 0, 10]
    assert "(10 more of these)" in caplog.text


def test_a_caller_without_identity_is_reported_once_per_reason() -> None:
    notes = Notes()
    refusals = Refusals(notes, FakeClock())
    for text in ("it has no name", "it has two names", "it has no name"):
        refuse(refusals, PermissionDeniedError(text), who="")
    assert notes.left_out == [0, 0]


def test_many_kinds_do_not_fill_the_memory() -> None:
    notes = Notes()
    refusals = Refusals(notes, FakeClock())
    for number in range(MOST_KEYS * 2 + 1):
        refuse(refusals, PermissionDeniedError("no"), who=str(number))
    assert len(notes.left_out) == MOST_KEYS * 2 + 1
    assert len(refusals._throttle) <= MOST_KEYS
