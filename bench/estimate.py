"""How far the estimate of a job's time is off, and how many lines a second are analysed.

Ten programs run in the simulator behind a serial line of 115200 baud, fed by character counting, on
virtual time; so a run takes as long as on the real clock, to the microsecond. Next to each is what
the analysis says before.
"""

from __future__ import annotations

import tempfile
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from bench.estimate_programs import programs, raster, vector
from bench.report import result, table
from bench.stage import BenchError
from usbshare.analysis.analyse import analyse
from usbshare.analysis.records import Analysis, MachineFacts
from usbshare.line.settings import LineSettings
from usbshare.sim.grbl import GrblController
from usbshare.sim.receive import RX_BUFFER_BYTES
from usbshare.sim.settings import SETTINGS
from usbshare.sim.status_codes import State
from usbshare.sim.uart import Uart

LINE = LineSettings(baud=115200)
# A machine of its own: not the defaults, which an estimate could have by chance.
MACHINE = {110: 9000.0, 111: 7200.0, 120: 700.0, 121: 350.0, 11: 0.02, 130: 400.0, 131: 400.0}
SPEED_RUNS = 15


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="usbshare-bench-") as folder:
        path = Path(folder) / "job.nc"
        worst = max([_compare(name, lines, path) for name, lines in programs().items()])
        print(flush=True)
        speeds = {
            "raster": _speed(list(raster(rows=30)), path),
            "vector": _speed(list(vector(step=0.01, turns=6)), path),
        }
    table(("analysed", "lines a second of one processor"), list(speeds.items()))
    result("worst_error_percent", worst, "%")
    result("lines_per_s", min(speeds.values()), "lines/s")


def _compare(name: str, lines: Sequence[str], path: Path) -> float:
    estimate = _analysis(lines, path).duration_s
    real = run(lines)
    error = 100 * abs(estimate - real) / real
    print(
        f"{name:28} {len(lines):6} lines  {real:9.3f} s, estimated {estimate:9.3f} s: "
        f"{error:.3f} % off",
        flush=True,
    )
    return error


def _speed(lines: Sequence[str], path: Path) -> float:
    _write(lines, path)
    times = []
    for _ in range(SPEED_RUNS):
        start = time.process_time()  # other programs may be running here
        analyse(path, machine=_machine(), line_bytes_per_s=LINE.bytes_per_s)
        times.append(time.process_time() - start)
    return len(lines) / min(times)


def _analysis(lines: Sequence[str], path: Path) -> Analysis:
    _write(lines, path)
    found = analyse(path, machine=_machine(), line_bytes_per_s=LINE.bytes_per_s)
    if found.error_count:
        raise BenchError(f"the program is wrong: {found.findings}")
    return found


def run(lines: Sequence[str]) -> float:
    """Run a program in the simulator; returns when the machine stood still."""
    controller = GrblController()
    for number, value in _machine().settings.items():
        controller.machine.settings.store(number, value)
    controller.advance(0.0)
    uart = Uart(controller, LINE)
    waiting, sent = deque(f"{line}\n".encode() for line in lines), deque[int]()
    now_s, output = 0.0, b""
    while waiting or sent:
        while waiting and sum(sent) + len(waiting[0]) <= RX_BUFFER_BYTES:
            uart.write(waiting[0], now_s)
            sent.append(len(waiting.popleft()))
        now_s = max(now_s, _due_s(uart))
        *answers, output = (output + uart.read(now_s)).split(b"\r\n")
        if any(b"error" in answer or b"ALARM" in answer for answer in answers):
            raise BenchError(f"the simulator answered {answers}")
        for _ in range(answers.count(b"ok")):
            sent.popleft()
    while controller.state is not State.IDLE and (due_s := controller.next_event_s()) is not None:
        now_s = due_s
        controller.advance(now_s)
    return now_s


def _due_s(uart: Uart) -> float:
    dues = [due for due in (uart.next_event_s(), uart.next_reply_s()) if due is not None]
    if not dues:
        raise BenchError("the simulator does not answer")
    return min(dues)


def _machine() -> MachineFacts:
    return MachineFacts({number: setting.default for number, setting in SETTINGS.items()} | MACHINE)


def _write(lines: Sequence[str], path: Path) -> None:
    path.write_text("\n".join(lines) + "\n", encoding="ascii")
