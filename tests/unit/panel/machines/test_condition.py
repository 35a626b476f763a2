from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from usbshare.base.errors import PortLatchedError, WrongStateError
from usbshare.client.serial.messages import Hold, RemoteLatch, RemotePort
from usbshare.panel.machines import condition

AT = datetime(2026, 1, 1, tzinfo=UTC)


def port(**known: Any) -> RemotePort:
    """Return what is known of a port here."""
    rest = {"latched": False, "latch": None, "hold": None, "state": "open", "reason": ""}
    return cast(RemotePort, SimpleNamespace(**{**rest, **known}))


def made(kind: Any, **values: Any) -> Any:
    """Return a hold or a latch."""
    names = {each.name for each in dataclasses.fields(kind)}
    given = {"who": "anna", "at": AT, "reason": "", "waiting_bytes": 0, "waiting_age_s": None}
    given |= {"epoch": 1, **values}
    return kind(**{name: value for name, value in given.items() if name in names})


@pytest.mark.parametrize("release", ["resume", "rearm", "rearm or reset", "machine"])
def test_the_remedy_uses_the_words_of_the_page(release: str) -> None:
    held = port(hold=made(Hold, cause="stop", release=release))
    latched = port(latched=True, latch=made(RemoteLatch, cause="job lost", release=release))
    for each in (held, latched):
        told = condition.described(each)
        assert "anna" in told
        assert "usbshare-bridge" not in told
        assert "`" not in told
    assert condition.news(port()) == "nothing is held now"


def test_a_held_or_latched_machine_gets_no_work() -> None:
    condition.require_released(port())
    condition.require_released(port(hold=made(Hold, cause="alarm", release="machine")))
    with pytest.raises(WrongStateError, match="Resume"):
        condition.require_released(port(hold=made(Hold, cause="stop", release="resume")))
    with pytest.raises(PortLatchedError, match="Re-arm"):
        condition.require_released(port(latched=True))
