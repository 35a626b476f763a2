"""Bytes a second through our service into a CDC-ACM device, against a plain pyserial writer.

It needs both ends on one machine: `modprobe g_serial use_acm=1` (with dummy_hcd) makes ttyACM0 and,
as the device's end, ttyGS0; BENCH_ACM and BENCH_GADGET name others. tests/guest runs it in a
virtual machine. The device reads what a line at 115200 baud carries, and not a byte more.
"""

from __future__ import annotations

import os
import select
from pathlib import Path

import serial

import usbshare.bridge.pyserial as usbshare
from bench.ours import PortTable, python_module, start_service
from bench.report import result, table
from bench.stage import Actor, BenchError, Stage

BYTES_PER_S = 11520.0
LINE = b"G1 X10.000 Y20.0000\n"
LINES_AT_ONCE = 25
SECONDS = float(os.environ.get("BENCH_CDC_S", "15"))
PIECE = LINE * LINES_AT_ONCE
PIECES = int(SECONDS * BYTES_PER_S / len(PIECE))
TOTAL_BYTES = PIECES * len(PIECE)
RUNS = int(os.environ.get("BENCH_CDC_RUNS", "2"))
ACM = os.environ.get("BENCH_ACM", "/dev/ttyACM0")
GADGET = os.environ.get("BENCH_GADGET", "/dev/ttyGS0")
END_S = 300.0
# A virtual machine may stand still for a while.
LINK_TIMEOUT_S = 30.0


def main() -> None:
    """Measure and print."""
    if not (Path(ACM).exists() and Path(GADGET).exists()):
        print(f"left out: there is no {ACM} with {GADGET} behind it", flush=True)
        return
    usbshare.register()
    plain, ours, fast_plain, fast_ours = [], [], [], []
    with Stage() as stage:
        for _ in range(RUNS):
            plain.append(_run(stage, ACM, BYTES_PER_S))
            fast_plain.append(_run(stage, ACM, 0.0))
        command = python_module("usbshare.serial_svc")
        service = start_service(
            stage, {"laser": PortTable(ACM, link_timeout_s=LINK_TIMEOUT_S)}, command=command
        )
        url = f"usbshare://{service.target}/laser?bundle={service.folder / 'client.pem'}"
        for _ in range(RUNS):
            ours.append(_run(stage, url, BYTES_PER_S))
            fast_ours.append(_run(stage, url, 0.0))
    print(f"bytes a second into {ACM}; the device takes {BYTES_PER_S:.0f}, or as fast as it can")
    table(
        ("writer", "paced", "as fast as it can"),
        [("pyserial", max(plain), max(fast_plain)), ("ours", max(ours), max(fast_ours))],
    )
    result("cdc_acm_bytes_per_s", max(ours), "B/s")
    result("cdc_acm_bytes_per_s_ratio_to_line", max(ours) / max(plain), "ratio")
    result("cdc_acm_fast_bytes_per_s", max(fast_ours), "B/s")


def _run(stage: Stage, where: str, rate: float) -> float:
    """Write everything to a path or URL; returns the bytes a second that the device got."""
    device = stage.start(
        [*python_module("bench.gadget"), GADGET, str(rate), str(TOTAL_BYTES)], asked=True
    )
    _answer(device, "ready")
    port = serial.serial_for_url(where, 115200)
    try:
        for _ in range(PIECES):
            port.write(PIECE)
        port.flush()
        return float(_answer(device, "rate"))
    finally:
        port.close()
        device.end()


def _answer(device: Actor, name: str) -> str:
    assert device.process.stdout is not None
    if not select.select([device.process.stdout], [], [], END_S)[0]:
        raise BenchError(f"the device does not say {name!r}:\n{device.said}")
    word, *rest = device.answer().split()
    if word != name:
        raise BenchError(f"the device said {word!r}, not {name!r}")
    return rest[0] if rest else ""
