from __future__ import annotations

from usbshare.panel.machines.use import IDLE_S, Use


def test_control_that_nobody_uses_is_idle_after_a_while() -> None:
    use = Use()
    use.used(10.0)
    assert not use.is_idle(10.0 + IDLE_S / 2)
    assert use.is_idle(10.0 + IDLE_S)


def test_what_a_person_took_or_a_jog_uses_is_wanted() -> None:
    use = Use()
    with use.going_on():
        while_used = (use.is_wanted, use.is_idle(1e9))
    after = (use.is_wanted, use.is_idle(1e9))
    use.is_kept = True
    kept = (use.is_wanted, use.is_idle(1e9))
    assert (while_used, after, kept) == ((True, False), (False, True), (True, False))


def test_nobody_takes_what_is_being_given_up() -> None:
    use = Use()
    with use.ending():
        assert use.is_ending
    assert not use.is_ending
