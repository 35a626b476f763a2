"""Whether brltty, the driver of braille displays, claims USB serial adapters.

Its udev rules name the adapters that displays are built with, CH340s among them (85-brltty.rules:
`ENV{PRODUCT}=="1a86/7523/*"`). It then detaches the kernel's driver, so that /dev/ttyUSB0
disappears a moment after the adapter was plugged in.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from usbshare.base.checkup import Judgement, failure, fine, warning

_SYS = Path("/sys")
_RULES = tuple(map(Path, ("/etc", "/run", "/usr/lib", "/lib")))
_PRODUCT = re.compile(r'ENV\{PRODUCT\}=="([0-9a-f]{1,4})/([0-9a-f]{1,4})/', re.IGNORECASE)
_ADAPTERS = {(0x1A86, 0x7523), (0x10C4, 0xEA60), (0x0403, 0x6001), (0x067B, 0x2303)}
_REMEDY = (
    "unless a braille display is used here: `sudo apt remove brltty`, or "
    "`sudo ln -s /dev/null /etc/udev/rules.d/{name}`, then plug the adapter in again"
)


def judge_brltty(sys: Path = _SYS, above_rules: Iterable[Path] = _RULES) -> Judgement:
    """Check whether brltty has claimed an adapter, or would."""
    rules = _rules_in_force(above_rules)
    claimed = {ids for text in rules.values() for ids in _ids_in(text)} & _ADAPTERS
    if not claimed:
        return fine("does not claim serial adapters" if rules else "not installed")
    names = ", ".join(f"{vid:04x}:{pid:04x}" for vid, pid in sorted(claimed))
    remedy = _REMEDY.format(name=min(rules))
    if taken := [place for place, ids in _without_driver(sys) if ids in claimed]:
        where = ", ".join(sorted(taken))
        return failure(f"brltty has claimed the serial adapter in socket {where}", remedy)
    return warning(f"brltty is installed and claims adapters {names} for braille displays", remedy)


def _rules_in_force(above: Iterable[Path]) -> dict[str, str]:
    """Return brltty's rules: a file overrides those of the same name in later folders."""
    found: dict[str, str] = {}
    for folder in above:
        for path in sorted((folder / "udev" / "rules.d").glob("*brltty*.rules")):
            if path.name not in found:
                found[path.name] = _text(path)
    return {name: text for name, text in found.items() if text.strip()}


def _ids_in(rules: str) -> list[tuple[int, int]]:
    lines = (line for line in rules.splitlines() if not line.lstrip().startswith("#"))
    return [(int(vid, 16), int(pid, 16)) for vid, pid in _PRODUCT.findall("\n".join(lines))]


def _without_driver(sys: Path) -> list[tuple[str, tuple[int, int]]]:
    """Return the USB devices whose first interface has no driver, or a program in its place."""
    found = []
    for device in (sys / "bus" / "usb" / "devices").glob("*-*"):
        vid, pid = _text(device / "idVendor").strip(), _text(device / "idProduct").strip()
        if not (vid and pid):
            continue
        driver = (device / f"{device.name}:1.0" / "driver").resolve().name
        if driver in ("usbfs", "driver"):  # the link leads to usbfs, or there is none
            found.append((device.name, (int(vid, 16), int(pid, 16))))
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
