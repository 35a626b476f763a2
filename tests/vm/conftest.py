"""Every test here leaves the kernel as it was."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from usbshare.usbip.vhci.helper import Vhci
from vm.real_kernel import troubles, until, used_ports


@pytest.fixture(autouse=True)
def _the_kernel_is_well() -> Iterator[None]:
    if not Vhci().may_attach:
        yield  # the test is skipped, and says why
        return
    before = troubles()
    assert used_ports() == 0
    yield
    until(lambda: used_ports() == 0, "every port is free again")
    assert [each for each in troubles() if each not in before] == []
