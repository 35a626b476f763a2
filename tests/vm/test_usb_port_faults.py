"""A USB port of the bridge in a real kernel, its program sending, is usable after every fault.

Run by `tests/vm/run`. USBSHARE_CYCLES says how often each fault is tried; USBSHARE_CYCLES_RECORD
names a file that gets a line for each, so that a run that is interrupted has told what it found.
"""

from __future__ import annotations

import json
import os
import termios
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from fakes.warm import Nursery
from usbshare.usbip.vhci.helper import Vhci
from vm.kernel_log import KernelLog, kernel_log
from vm.real_kernel import used_ports
from vm.rig import FAULTS, Rig, rig

pytestmark = [
    pytest.mark.vm,
    pytest.mark.timeout(12 * 3600),
    pytest.mark.skipif(not Vhci().may_attach, reason="no vhci_hcd, or not root"),
]

CYCLES = int(os.environ.get("USBSHARE_CYCLES", "2"))
# A dwell keeps the machine from taking more.
STUFF = b"G4 P0.5\n" * 60


def test_the_port_is_usable_after_every_fault(tmp_path: Path) -> None:
    """All faults at once, each on a port of its own: most of a fault is waiting."""
    record = Path(os.environ.get("USBSHARE_CYCLES_RECORD", tmp_path / "cycles.jsonl"))
    Nursery.running()
    with ThreadPoolExecutor(len(FAULTS)) as pool:
        tried = [pool.submit(tried_often, each, tmp_path, record) for each in FAULTS]
        troubles = [trouble for each in tried for trouble in each.result()]
    assert troubles == []


def tried_often(fault: Callable[[Rig], None], home: Path, record: Path) -> list[str]:
    """Try a fault again and again; returns what went wrong."""
    name, found = fault.__name__, []
    with kernel_log() as kernel, rig(home / name, name) as used:
        used.until_usable()
        for number in range(1, CYCLES + 1):
            begun = time.monotonic()
            failure = tried_once(fault, used, is_stuffed=number % 2 == 0)
            note(record, name, number, not failure, time.monotonic() - begun, kernel)
            if failure:
                found.append(f"{name} {number}: {failure}")
                used.serve()
                used.join()
                used.until_usable()
        return found + kernel.troubles()


def tried_once(fault: Callable[[Rig], None], used: Rig, *, is_stuffed: bool) -> str:
    """Try a fault while a program has the port open; returns why it is not usable after it."""
    try:
        with used.until_open() as port:
            if is_stuffed:
                port.write(STUFF)
            fault(used)
            with suppress(OSError, termios.error):  # it was unplugged
                port.reset_output_buffer()  # else closing waits for the dwells
        used.until_usable()
    except AssertionError as error:
        return str(error)
    return ""


def note(
    record: Path, fault: str, cycle: int, is_usable: bool, took_s: float, kernel: KernelLog
) -> None:
    """Write down what a fault left behind."""
    line = {
        "fault": fault,
        "cycle": cycle,
        "is_usable": is_usable,
        "took_s": round(took_s, 1),
        "used_ports": used_ports(),
        "kernel_warnings": len(kernel.troubles()),
    }
    with record.open("a") as file:
        file.write(json.dumps(line) + "\n")
