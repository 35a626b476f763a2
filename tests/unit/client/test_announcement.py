"""A service is registered with discovery, but never ends for it."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from usbshare.client import announcement
from usbshare.client.announcement import Announcing
from usbshare.hosts.instance import Endpoint, Kind
from usbshare.rpc.channel import Target
from usbshare.trust.site import Site


async def test_any_failure_is_reported_once_and_retried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    attempts = 0
    enough = asyncio.Event()

    async def fails(target: Target) -> bool:
        nonlocal attempts
        attempts += 1
        if attempts == 3:
            enough.set()
        raise ValueError(f"no such thing at {target}")

    monkeypatch.setattr(announcement, "_is_open", fails)
    monkeypatch.setattr(announcement, "FIRST_PAUSE_S", 0.0)
    monkeypatch.setattr(announcement, "LONGEST_PAUSE_S", 0.0)
    caplog.set_level(logging.INFO, announcement.__name__)
    told = Announcing(
        Target("127.0.0.1", 50053), Site(tmp_path, "ab" * 32), Endpoint(Kind.SERIAL, 50051)
    )
    running = asyncio.create_task(told.run())
    async with asyncio.timeout(30):
        await enough.wait()
    assert not running.done()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert [record.message for record in caplog.records] == [
        "not announced by the discovery service at 127.0.0.1:50053: "
        "ValueError: no such thing at 127.0.0.1:50053"
    ]
