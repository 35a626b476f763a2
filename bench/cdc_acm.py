"""Bytes a second through our service into a CDC-ACM device, against a plain pyserial writer.

Both make the same calls of `write`: 500 bytes each, which shows what pacing costs, and a line of
G-code each, where a slow processor is the first bound. It needs both ends on one machine: `modprobe
g_serial use_acm=1` (with dummy_hcd) makes ttyACM0 and, as the device's end, ttyGS0; BENCH_ACM and
BENCH_GADGET name others. tests/guest runs it in a virtual machine. The device reads what a line at
115200 baud carries, and not a byte more, or as fast as it can: then nothing but processor time and
pacing bounds what it gets. The shares of a processor that the writer and the service take say which
of the two it is.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import serial

import usbshare.bridge.pyserial as usbshare
from bench.ours import PortTable, Service, python_module, start_service
from bench.report import result, table
from bench.stage import Actor, BenchError, Stage

BYTES_PER_S = 11520.0
LINE = b"G1 X10.000 Y20.0000\n"
PIECES, LINES = "500 bytes a write", "a line a write"
WRITES = {PIECES: LINE * 25, LINES: LINE}
KEYS = {"cdc_acm_bytes_per_s": PIECES, "cdc_acm_lines_bytes_per_s": LINES}
SECONDS = float(os.environ.get("BENCH_CDC_S", "15"))
RUNS = int(os.environ.get("BENCH_CDC_RUNS", "2"))
ACM = os.environ.get("BENCH_ACM", "/dev/ttyACM0")
GADGET = os.environ.get("BENCH_GADGET", "/dev/ttyGS0")
END_S = 300.0
# A virtual machine may stall for a while.
LINK_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Run:
    """What the device got, and which shares of a processor the writer and the service took."""

    bytes_per_s: float
    writer_share: float
    service_share: float = 0.0


def main() -> None:
    """Measure and print."""
    if not (Path(ACM).exists() and Path(GADGET).exists()):
        print(f"left out: there is no {ACM} with {GADGET} behind it", flush=True)
        return
    usbshare.register()
    with Stage() as stage:
        plain = {name: _best(stage, piece, None) for name, piece in WRITES.items()}
        command = python_module("usbshare.serial_svc")
        port = PortTable(ACM, profile="grbl", link_timeout_s=LINK_TIMEOUT_S)
        service = start_service(stage, {"laser": port}, command=command)
        ours = {name: _best(stage, piece, service) for name, piece in WRITES.items()}
    print(f"bytes a second into {ACM}; the device takes {BYTES_PER_S:.0f}, or as fast as it can")
    head = ("writer", "B/s", "writer %", "service %", "fast B/s", "writer %", "service %")
    rows = [
        (f"{who}, {name}", *_cells(paced), *_cells(fast))
        for who, runs in (("pyserial", plain), ("ours", ours))
        for name, (paced, fast) in runs.items()
    ]
    table(head, rows)
    for key, name in KEYS.items():
        paced = ours[name][0].bytes_per_s
        result(key, paced, "B/s")
        result(f"{key}_ratio_to_line", paced / plain[name][0].bytes_per_s, "ratio")
    result("cdc_acm_fast_bytes_per_s", ours[PIECES][1].bytes_per_s, "B/s")


def _cells(run: Run) -> Sequence[object]:
    return (
        round(run.bytes_per_s),
        round(100 * run.writer_share),
        round(100 * run.service_share) or "",
    )


def _best(stage: Stage, piece: bytes, service: Service | None) -> tuple[Run, Run]:
    """Return the best runs into a device that reads at the line's rate, and into a fast one."""
    paced, fast = (
        max((_run(stage, piece, service, rate) for _ in range(RUNS)), key=lambda r: r.bytes_per_s)
        for rate in (BYTES_PER_S, 0.0)
    )
    return paced, fast


def _run(stage: Stage, piece: bytes, service: Service | None, rate: float) -> Run:
    """Write everything, to the device itself or through the service."""
    writes = int(SECONDS * BYTES_PER_S / len(piece))
    device = stage.start(
        [*python_module("bench.gadget"), GADGET, str(rate), str(writes * len(piece))], asked=True
    )
    _answer(device, "ready")
    port = serial.serial_for_url(_url(service) if service else ACM, 115200)
    try:
        start, before = time.monotonic(), _processor_s(service)
        for _ in range(writes):
            port.write(piece)
        port.flush()
        passed_s = time.monotonic() - start
        shares = [
            (after - earlier) / passed_s
            for earlier, after in zip(before, _processor_s(service), strict=True)
        ]
        return Run(float(_answer(device, "rate")), *shares)
    finally:
        port.close()
        device.end()


def _url(service: Service) -> str:
    return f"usbshare://{service.target}/laser?bundle={service.folder / 'client.pem'}"


def _processor_s(service: Service | None) -> tuple[float, float]:
    """Return the processor time of this process and of the service."""
    if service is None:
        return time.process_time(), 0.0
    stat = Path(f"/proc/{service.actor.pid}/stat").read_text().rpartition(")")[2].split()
    return time.process_time(), sum(map(int, stat[11:13])) / os.sysconf("SC_CLK_TCK")


def _answer(device: Actor, name: str) -> str:
    assert device.process.stdout is not None
    if not select.select([device.process.stdout], [], [], END_S)[0]:
        raise BenchError(f"the device does not say {name!r}:\n{device.said}")
    word, *rest = device.answer().split()
    if word != name:
        raise BenchError(f"the device said {word!r}, not {name!r}")
    return rest[0] if rest else ""
