"""The far end of a pty, and each kind of Device that can open the near one."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from fakes.real_devices import MAKERS, Far
from usbshare.line.settings import Device, LineSettings


@pytest.fixture
def far() -> Iterator[Far]:
    far = Far()
    yield far
    far.release_slave()
    far.hang_up()


@pytest.fixture(params=MAKERS, ids=lambda maker: maker.__name__)
def make(request: pytest.FixtureRequest) -> Callable[[str, LineSettings], Device]:
    maker: Callable[[str, LineSettings], Device] = request.param
    return maker
