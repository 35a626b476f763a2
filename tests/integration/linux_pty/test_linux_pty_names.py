"""Names of virtual ports on Linux: links that are ours, and those that are not."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from usbshare.base.errors import ConfigError
from usbshare.bridge.local_ports.port_makers import virtual_port_for
from usbshare.line.settings import ModemLines

if TYPE_CHECKING or sys.platform == "linux":
    from usbshare.bridge.local_ports.linux_pty_hangup import LinuxPty
from fakes.linux_port import SETTINGS, Listener, is_taken

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux's virtual port")


async def test_a_plain_name_is_in_the_runtime_folder_and_the_pty_is_private(
    listener: Listener, tmp_path: Path
) -> None:
    port = virtual_port_for("COM10")
    assert port.path == str(tmp_path / "runtime" / "COM10")
    assert not is_taken(port.path)
    await port.start(listener, SETTINGS)
    assert Path(port.path).resolve().parent == Path("/dev/pts")  # noqa: ASYNC240
    found = os.stat(port.path)
    assert stat.S_IMODE(found.st_mode) == 0o600
    assert found.st_uid == os.geteuid()
    await port.close()
    assert not is_taken(port.path)


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
async def test_a_link_of_others_is_left_alone(
    listener: Listener, tmp_path: Path, kind: str
) -> None:
    taken = tmp_path / "COM10"
    make: dict[str, Callable[[], None]] = {
        "file": taken.touch,
        "folder": taken.mkdir,
        "link": lambda: taken.symlink_to("/dev/null"),
    }
    make[kind]()
    with pytest.raises(ConfigError, match=f"{taken} exists and is not a link"):
        await LinuxPty(str(taken)).start(listener, SETTINGS)
    assert is_taken(taken)


async def test_a_link_to_another_programs_live_pty_is_left_alone(
    listener: Listener, tmp_path: Path
) -> None:
    master, slave = os.openpty()
    taken = tmp_path / "COM10"
    taken.symlink_to(os.ttyname(slave))
    with pytest.raises(ConfigError, match="not a link that usbshare made"):
        await LinuxPty(str(taken)).start(listener, SETTINGS)
    os.close(master)
    os.close(slave)


async def test_a_dangling_link_to_a_pty_is_replaced(listener: Listener, tmp_path: Path) -> None:
    stale = tmp_path / "COM10"
    stale.symlink_to("/dev/pts/99999")
    port = LinuxPty(str(stale))
    await port.start(listener, SETTINGS)
    assert os.readlink(stale) != "/dev/pts/99999"
    await port.close()


async def test_the_name_of_a_running_bridge_is_refused(port: LinuxPty, listener: Listener) -> None:
    with pytest.raises(
        ConfigError, match=rf"another usbshare program \(process {os.getpid()}\) offers"
    ):
        await LinuxPty(port.path).start(Listener(), SETTINGS)
    assert is_taken(port.path)


async def test_a_link_that_was_replaced_is_not_removed_at_close(
    listener: Listener, tmp_path: Path
) -> None:
    port = LinuxPty(str(tmp_path / "COM10"))
    await port.start(listener, SETTINGS)
    (tmp_path / "COM10").unlink()
    (tmp_path / "COM10").touch()
    await port.close()
    assert is_taken(port.path)


async def test_a_folder_that_is_missing_is_named(listener: Listener, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot create the link"):
        await LinuxPty(str(tmp_path / "no" / "COM10")).start(listener, SETTINGS)


async def test_a_port_that_is_not_there_takes_calls(listener: Listener, tmp_path: Path) -> None:
    port = LinuxPty(str(tmp_path / "COM10"))
    assert port.write(b"x") == 1
    port.limit_reading(0)
    port.limit_reading(4095)
    port.apply_settings(SETTINGS)
    port.show_lines(ModemLines())
    await port.close()
