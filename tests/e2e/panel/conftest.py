"""One browser for all tests of the panel's page in a process."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

pytest.importorskip("aiohttp")
pytest.importorskip("playwright")

from playwright.async_api import Browser

from fakes.chromium import EXECUTABLE
from fakes.panel_page import chromium


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    if EXECUTABLE is None:
        pytest.skip("chromium is not installed")
    async with chromium() as running:
        yield running
