"""A virtual port on Linux in a folder of its own, for root and for an ordinary user."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fakes.linux_port import SETTINGS, Listener
from fakes.ordinary_user import is_root, without_capability

if TYPE_CHECKING or sys.platform == "linux":
    from usbshare.bridge.local_ports.linux_pty_hangup import LinuxPty
    from usbshare.bridge.local_ports.macos_pty_hangup import MacosPty
    from usbshare.bridge.local_ports.pty import PtyPort


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture(autouse=True)
def _private_runtime_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    runtime = tmp_path / "runtime"
    runtime.mkdir(mode=0o700)
    monkeypatch.setattr("usbshare.line.name_link.runtime_folder", lambda: runtime)


@pytest.fixture(autouse=True, params=["root", "ordinary user"])
def _user(request: pytest.FixtureRequest) -> Iterator[None]:
    """Have each test run as the user who may everything, and as one who may not."""
    if request.param == "root" and not is_root():
        pytest.skip("the tests do not run as root")
    with (
        without_capability() if is_root() and request.param != "root" else contextlib.nullcontext()
    ):
        yield


@pytest.fixture(params=["LinuxPty", "MacosPty"])
def any_kind(request: pytest.FixtureRequest) -> type[PtyPort]:
    return {"LinuxPty": LinuxPty, "MacosPty": MacosPty}[request.param]


@pytest.fixture
async def port(listener: Listener, tmp_path: Path) -> AsyncIterator[LinuxPty]:
    port = LinuxPty(str(tmp_path / "COM10"))
    await port.start(listener, SETTINGS)
    yield port
    await port.close()
