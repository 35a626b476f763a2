from __future__ import annotations

from usbshare.panel.machines.use import IDLE_S, RESTED_S, Use


def test_control_that_nobody_uses_is_idle_after_a_while() -> None:
    use = Use()
    use.used(10.0)
    assert not use.is_idle(10.0 + IDLE_S / 2)
    assert use.is_idle(10.0 + IDLE_S)


def test_control_taken_by_a_person_or_used_by_a_jog_is_kept() -> None:
    use = Use()
    with use.going_on():
        while_used = (use.is_wanted, use.is_idle(1e9))
    after = (use.is_wanted, use.is_idle(1e9))
    use.is_kept = True
    kept = (use.is_wanted, use.is_idle(1e9))
    assert (while_used, after, kept) == ((True, False), (False, True), (True, False))


def test_control_being_released_cannot_be_taken() -> None:
    use = Use()
    with use.ending():
        assert use.is_ending
    assert not use.is_ending


def test_a_machine_that_reports_that_it_rests_is_given_back_soon() -> None:
    use = Use()
    use.used(10.0)
    use.reported(11.0, at_rest=False)
    use.reported(12.0, at_rest=True)
    use.reported(12.5, at_rest=True)
    soon = 12.0 + RESTED_S
    assert (use.is_idle(soon - 0.1), use.is_idle(soon)) == (False, True)
    use.used(soon)
    assert not use.is_idle(soon + RESTED_S)  # that report was of before
    use.reported(soon + 0.5, at_rest=True)
    assert use.is_idle(soon + 0.5 + RESTED_S)
