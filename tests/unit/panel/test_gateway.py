from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from usbshare.panel.gateway import Gateway


async def test_a_jog_that_comes_to_rest_keeps_nothing_else_moving() -> None:
    """Its host may be gone; a lit frame of another machine is held at once."""
    others_end, done = asyncio.Event(), []

    async def jogs_end() -> None:
        done.append("jogs")
        await others_end.wait()

    async def others() -> None:
        done.append("others")
        others_end.set()

    ending = SimpleNamespace(
        _requests=SimpleNamespace(end=lambda: done.append("requests")),
        _jogs=SimpleNamespace(close=jogs_end),
        controls=SimpleNamespace(close=others),
    )
    async with asyncio.timeout(10):
        await Gateway._end_motion(cast(Any, ending))
    assert done == ["requests", "jogs", "others"]
