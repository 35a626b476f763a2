"""The discovery service goes on with its site's certificates of the moment."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from fakes.certificates import make_site
from fakes.waiting import until
from usbshare.discovery_svc import site_watch
from usbshare.rpc.tls import ClientBundle
from usbshare.trust import authority_rollover


async def test_another_authority_and_a_new_certificate_are_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site_watch, "LOOK_S", 0.01)
    site = make_site(tmp_path)
    told: list[str] = []
    bundles: list[ClientBundle] = []
    following = asyncio.create_task(site_watch.follow_site(site, told.append, bundles.append))
    try:
        await asyncio.sleep(0.05)  # what is there at the start is no news
        assert (told, bundles) == ([], [])
        done = authority_rollover.roll(tmp_path)
        make_site(tmp_path)
        await until(lambda: bundles)
        assert bundles[-1].sites == (done.new_fingerprint, done.old_fingerprint)
        assert told == []
        authority_rollover.finish(tmp_path)
        make_site(tmp_path)
        await until(lambda: told)
        assert told == [done.new_fingerprint]
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
