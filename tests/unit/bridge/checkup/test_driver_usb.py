"""Whether a USB port can be plugged in, as `doctor` says."""

from __future__ import annotations

from pathlib import Path

import pytest

from fakes.vhci import fake_vhci
from usbshare.base.checkup import Verdict
from usbshare.base.threads import in_thread
from usbshare.bridge.checkup.driver import judge_usb_port
from usbshare.usbip.vhci.attach import PlugPlaces
from usbshare.usbip.vhci.helper import Vhci


def test_a_kernel_without_the_controller_is_reported_with_the_remedy(tmp_path: Path) -> None:
    found = judge_usb_port("auto", PlugPlaces(tmp_path, tmp_path / "none"))
    assert found.verdict is Verdict.FAILURE
    assert "virtual USB controller" in found.measured
    assert "sudo modprobe vhci-hcd" in found.remedy


async def test_a_user_needs_the_helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Vhci, "may_attach", False)
    async with fake_vhci(tmp_path) as kernel:
        found = await in_thread(judge_usb_port, "auto", kernel.places)
        assert (found.verdict, "by usbshare-usb-attach" in found.measured) == (Verdict.OK, True)
    kernel.places.helper.unlink()
    found = await in_thread(judge_usb_port, "auto", kernel.places)
    assert found.verdict is Verdict.FAILURE


def test_an_address_is_judged_as_any_other() -> None:
    assert judge_usb_port("127.0.0.1:0").verdict is Verdict.OK
