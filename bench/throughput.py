"""What 921600 baud both ways at once loses, and what it costs in CPU time.

Program and device each send their writes as fast as the line would carry them and receive the
other's; both sides sum what they sent and received. Us and socat take turns.
"""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, field
from pathlib import Path

from bench import peers
from bench.ours import PortTable, start_bridge, start_service
from bench.programs import Programs
from bench.report import result, table
from bench.stage import Actor, BenchError, Stage

OURS, SOCAT = "usbshare", "socat TLS"
BAUD = 921600
BYTES_PER_S = BAUD / 10
SIZES = (64, 16)
ROUNDS = 2
SECONDS = 5.0
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Flow:
    """What one end sent and received."""

    sent: int
    sent_sum: str
    received: int
    received_sum: str
    seconds: float


@dataclass(slots=True)
class Cost:
    """CPU seconds on either side and bytes lost, over all runs."""

    near_s: float = 0.0
    far_s: float = 0.0
    run_s: float = 0.0
    bytes: int = 0
    lost: int = 0
    damaged: int = 0


@dataclass(slots=True)
class Way:
    """A tunnel with its ends."""

    program: Actor
    device: Actor
    near: Actor
    far: Actor
    costs: dict[int, Cost] = field(default_factory=dict)

    def run(self, size: int) -> None:
        """Send both ways at once and note what it cost."""
        cost = self.costs.setdefault(size, Cost())
        before = _cpu_s(self.near), _cpu_s(self.far)
        for end in (self.program, self.device):
            end.tell(f"{size} {BYTES_PER_S} {SECONDS}")
        program, device = _flow(self.program), _flow(self.device)
        cost.near_s += _cpu_s(self.near) - before[0]
        cost.far_s += _cpu_s(self.far) - before[1]
        cost.run_s += max(program.seconds, device.seconds)
        _compare(cost, program, device)
        _compare(cost, device, program)


def main() -> None:
    """Measure and print."""
    with Stage() as stage:
        ways = _ways(stage)
        for way in ways.values():
            way.run(SIZES[0])
            way.costs.clear()
        for _ in range(ROUNDS):
            for size in SIZES:
                for name in random.sample(list(ways), len(ways)):
                    ways[name].run(size)
    _print(ways)


def _ways(stage: Stage) -> dict[str, Way]:
    programs = Programs(stage)
    link = stage.path("device-ours")
    device = programs.start("flow", f"-{link}")
    service = start_service(stage, {"fast": PortTable(link, baud=BAUD)})
    bridge, path = start_bridge(stage, service, "fast")
    ways = {OURS: Way(programs.start("flow", path), device, bridge, service.actor)}
    if peers.have("socat"):
        ways[SOCAT] = _socat(stage, programs, service.folder)
    return ways


def _socat(stage: Stage, programs: Programs, site: Path) -> Way:
    link = stage.path("device-socat")
    device = programs.start("flow", f"-{link}")
    tunnel = peers.socat_tls(stage, "tls", link, site)
    return Way(programs.start("flow", tunnel.path), device, tunnel.near, tunnel.far)


def _flow(end: Actor) -> Flow:
    sent, sent_sum, received, received_sum, seconds = end.answer().split()
    return Flow(int(sent), sent_sum, int(received), received_sum, float(seconds))


def _compare(cost: Cost, sender: Flow, receiver: Flow) -> None:
    cost.bytes += sender.sent
    cost.lost += sender.sent - receiver.received
    cost.damaged += sender.sent_sum != receiver.received_sum


def _cpu_s(actor: Actor) -> float:
    text = Path(f"/proc/{actor.pid}/stat").read_text()
    fields = text.rpartition(")")[2].split()
    if fields[0] == "Z":
        raise BenchError(f"{actor.process.args!r} ended:\n{actor.said}")
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def _print(ways: dict[str, Way]) -> None:
    print(f"{BAUD} baud both ways at once, CPU in % of one core")
    rows = []
    for name, way in ways.items():
        for size, cost in way.costs.items():
            shares = (100 * cost.near_s / cost.run_s, 100 * cost.far_s / cost.run_s)
            rate = cost.bytes / 2 / cost.run_s / BYTES_PER_S
            rows.append((name, size, *shares, rate, cost.lost, cost.damaged))
    head = ("way", "write", "near", "far", "of line rate", "lost bytes", "damaged runs")
    table(head, rows)
    for size in SIZES if SOCAT in ways else ():
        ours, socat = (ways[name].costs[size] for name in (OURS, SOCAT))
        ratio = (ours.near_s + ours.far_s) / (socat.near_s + socat.far_s)
        suffix = "" if size == SIZES[0] else f"_{size}_bytes"
        result(f"cpu_ratio_to_socat{suffix}", ratio, "ratio")
    costs = ways[OURS].costs.values()
    result("lost_bytes", sum(cost.lost for cost in costs), "bytes")
    result("damaged_runs", sum(cost.damaged for cost in costs), "runs")
