"""How long `send` waits for an answer."""

from __future__ import annotations

import pytest

from usbshare.bridge.commands.patience import QUIET_S, TIMEOUT_S, Patience, patience_for
from usbshare.line.profiles import AUTO, GRBL, MARLIN, RAW, Profile


@pytest.mark.parametrize(
    ("line", "profile", "patience"),
    [
        (b"$I", GRBL, Patience(None, TIMEOUT_S)),
        (b"G1 X40 F100", GRBL, Patience(None, TIMEOUT_S)),
        (b"G40 G5", GRBL, Patience(None, TIMEOUT_S)),
        (b"$h", GRBL, Patience(None, None)),
        (b"$J=G91 X10 F100", GRBL, Patience(None, None)),
        (b"g04 p60", GRBL, Patience(None, None)),
        (b"G90 G28 X0", GRBL, Patience(None, None)),
        (b"M0 (turn it)", GRBL, Patience(None, None)),
        (b"M105", MARLIN, Patience(None, TIMEOUT_S)),
        (b"M109 S200", MARLIN, Patience(None, None)),
        (b"?", GRBL, Patience(QUIET_S, TIMEOUT_S)),
        (b"$H", AUTO, Patience(QUIET_S, TIMEOUT_S)),
        (b"hello", RAW, Patience(QUIET_S, TIMEOUT_S)),
    ],
)
def test_a_reply_is_waited_for_where_one_comes(
    line: bytes, profile: Profile, patience: Patience
) -> None:
    assert patience_for(line, profile, None, None) == patience


def test_what_a_person_gives_counts() -> None:
    assert patience_for(b"$H", GRBL, 0.5, 7.0) == Patience(0.5, 7.0)
