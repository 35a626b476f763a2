"""A sound card that usb-svc lends plays on a real kernel, by isochronous transfers.

Run by `tests/vm/run`. The card is QEMU's (`-device usb-audio`): dummy_hcd, behind which the
kernel's own gadgets are, has no isochronous transfers.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fakes.processes import run, running
from usbshare.usbip.vhci.helper import Vhci
from vm.real_kernel import DEADLINE_S, USB_HOST, until

CARD = "46f4:0002"
SECONDS = 2
BYTES_PER_S = 48_000 * 2 * 2
HOST_DRIVER = Path("/sys/bus/usb/drivers/usbip-host")
DEVICES = Path("/sys/bus/usb/devices")
CARDS = Path("/sys/class/sound")


def there() -> list[Path]:
    """Return the cards of this machine's own controllers."""
    found = [each.parent for each in DEVICES.glob("*/idVendor") if ids(each.parent) == CARD]
    return [each for each in found if "vhci" not in str(each.resolve())]


def ids(folder: Path) -> str:
    parts = [(folder / name).read_text().strip() for name in ("idVendor", "idProduct")]
    return ":".join(parts)


pytestmark = [
    pytest.mark.vm,
    pytest.mark.timeout(4 * 3600),
    pytest.mark.skipif(
        not (Vhci().may_attach and HOST_DRIVER.exists()), reason="no vhci_hcd or usbip-host"
    ),
    pytest.mark.skipif(not there(), reason="no `-device usb-audio`"),
    pytest.mark.skipif(shutil.which("aplay") is None, reason="alsa-utils is not installed"),
]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    config = tmp_path / "usbshare.toml"
    config.write_text(USB_HOST)
    words = ["usb-svc", "--listen", "127.0.0.1:0", "--config", str(config)]
    with running(words, tmp_path) as service:
        yield tmp_path, service.wait_for(r"ready at (127\.0\.0\.1:\d+)", DEADLINE_S)[1]


def imported() -> list[str]:
    """Return the numbers of sound cards that vhci_hcd has."""
    cards = [each for each in CARDS.glob("card*") if "vhci_hcd" in str(each.resolve())]
    return [each.name.removeprefix("card") for each in cards]


@contextmanager
def attached(home: Path, target: str) -> Iterator[str]:
    """Give the number of the card that is attached."""
    words = ["bridge", "usb", "attach", "--target", target, "--match", CARD]
    with running(words, home) as process:
        process.wait_for(f"attached {CARD}", DEADLINE_S)
        until(imported, "the card is here")
        yield imported()[0]


def test_a_sound_card_plays_here_and_is_given_back(host: tuple[Path, str]) -> None:
    home, target = host
    with attached(home, target) as card:
        played = subprocess.run(
            ["aplay", "-q", "-D", f"hw:{card}", *("-f", "S16_LE", "-c", "2", "-r", "48000"), "-"],
            input=(b"\x00\x10\x00\xf0" * (BYTES_PER_S // 4)) * SECONDS,
            capture_output=True,
            timeout=DEADLINE_S,
            check=False,
        )
        assert played.returncode == 0, played.stderr
        assert b"error" not in played.stderr, played.stderr
        code, output = run(["bridge", "usb", "list", "--target", target, "--json"], home)
        (device,) = [each for each in json.loads(output) if each["id"].startswith(CARD)]
        assert (code, device["state"]) == (0, "attached")
    until(lambda: not imported(), "it is gone here")
    (folder,) = there()
    until(lambda: list(folder.glob("*:1.0/sound/card*")), "its own driver has it back")
