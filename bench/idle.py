"""What an idle service costs: how often it wakes, and how much of a core it takes.

The port is open, as an adapter with modem lines, and nothing is sent. A wake-up is a voluntary
context switch of any of the process's threads: somebody waited and was woken.
"""

from __future__ import annotations

import os
import time
import tty
from dataclasses import dataclass
from pathlib import Path

from bench.ours import PortTable, python_module, start_bridge, start_service
from bench.report import result, table
from bench.stage import Actor, BenchError, Stage, processor_s

SETTLE_S = 30.0  # threads of gRPC look for work less and less often
MEASURE_S = float(os.environ.get("BENCH_IDLE_S", "20"))
SOON_S = 10.0


@dataclass(frozen=True, slots=True)
class Cost:
    """Wake-ups a second, with those of each thread, and the share of a core."""

    wakeups_per_s: float
    cpu_percent: float
    threads: dict[str, float]


def main() -> None:
    """Measure and print."""
    with Stage() as stage:
        master, slave = os.openpty()
        tty.setraw(slave)
        service = start_service(
            stage,
            {"laser": PortTable(os.ttyname(slave))},
            command=python_module("bench.idle_line"),
        )
        bridge, path = start_bridge(stage, service, "laser")  # a port is opened at first use
        bridge.end()
        _until_closed(service.actor)
        Path(path).unlink(missing_ok=True)
        alone = _cost(service.actor)
        start_bridge(stage, service, "laser")
        held = _cost(service.actor)
        os.close(master)
        os.close(slave)
    _print(alone, held)


def _until_closed(service: Actor) -> None:
    deadline = time.monotonic() + SOON_S
    while "ended" not in service.said:
        if time.monotonic() > deadline:
            raise BenchError(f"the session does not end:\n{service.said}")
        time.sleep(0.05)


def _cost(actor: Actor) -> Cost:
    time.sleep(SETTLE_S)
    before, cpu_before, start = _switches(actor.pid), processor_s(actor.pid), time.monotonic()
    time.sleep(MEASURE_S)
    passed_s = time.monotonic() - start
    after, cpu_s = _switches(actor.pid), processor_s(actor.pid) - cpu_before
    threads = {
        name: (count - before.get(name, 0)) / passed_s
        for name, count in after.items()
        if count > before.get(name, 0)
    }
    return Cost(sum(threads.values()), 100 * cpu_s / passed_s, threads)


def _switches(pid: int) -> dict[str, int]:
    """Return how often each thread of the process has waited so far, by name and number."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        fields = dict(line.split(":", 1) for line in (task / "status").read_text().splitlines())
        found[f"{fields['Name'].strip()}-{task.name}"] = int(fields["voluntary_ctxt_switches"])
    return found


def _print(alone: Cost, held: Cost) -> None:
    print(f"an idle service with one open port, over {MEASURE_S:g} s")
    rows = [
        (name, cost.wakeups_per_s, cost.cpu_percent)
        for name, cost in (("no session", alone), ("a bridge connected, idle", held))
    ]
    table(("state", "wake-ups a second", "% of a core"), rows)
    for title, cost in (("thread, no session", alone), ("thread, with a bridge", held)):
        names = sorted(cost.threads, key=cost.threads.__getitem__, reverse=True)
        table((title, "a second"), [(name, cost.threads[name]) for name in names])
    result("idle_wakeups_per_s", alone.wakeups_per_s, "1/s")
    result("idle_cpu_percent", alone.cpu_percent, "%")
    result("idle_wakeups_per_s_session", held.wakeups_per_s, "1/s")
    result("idle_cpu_percent_session", held.cpu_percent, "%")
