"""A host as `serial-svc doctor` sees it."""

from __future__ import annotations

from pathlib import Path

from usbshare.base.checkup import Check, examine
from usbshare.serial_svc.checkup.steps import Examined, steps

RULES = """# brltty
# ENV{PRODUCT}=="10c4/ea60/*", ENV{BRLTTY_BRAILLE_DRIVER}="sk", GOTO="brltty_usb_run"
ENV{PRODUCT}=="1a86/7523/*", ENV{BRLTTY_BRAILLE_DRIVER}="bm", GOTO="brltty_usb_run"
"""


def rules_in(folder: Path, text: str) -> None:
    rules = folder / "udev" / "rules.d"
    rules.mkdir(parents=True)
    (rules / "85-brltty.rules").write_text(text)


def adapter_in(sys: Path, driver: str | None, ids: tuple[str, str] = ("1a86", "7523")) -> None:
    device = sys / "bus" / "usb" / "devices" / "1-1.2"
    interface = device / "1-1.2:1.0"
    interface.mkdir(parents=True)
    for name, text in zip(("idVendor", "idProduct"), ids, strict=True):
        (device / name).write_text(text + "\n")
    if driver is not None:
        folder = sys / "bus" / "usb" / "drivers" / driver
        folder.mkdir(parents=True)
        (interface / "driver").symlink_to(folder)


async def checks_of(what: Examined, *names: str) -> dict[str, Check]:
    chosen = [step for step in steps(what) if not names or step.name in names]
    return {check.name: check async for check in examine(chosen)}
