"""The panel as its user feels it: a stop's click, pictures, and what an idle panel costs.

Real services with simulated devices, the real panel, a real Chromium (Debian's), all on this
computer: the browser decodes by software, and shares the processors with all the others.
"""

from __future__ import annotations

import asyncio
import time

from bench import panel_pictures, panel_stops
from bench.ours import PortTable, start_service
from bench.panel_stage import (
    Browser,
    Panel,
    chromium_windows,
    running_network,
    start_camera,
    start_panel,
)
from bench.report import result, table
from bench.spooled import start_job
from bench.stage import Stage, free_port, processor_s

SETTLE_S, IDLE_S = 4.0, 8.0
# Runs for half an hour: longer than all stops take.
PROGRAM = b"G21 G90\n" + b"G1 X40 Y0 F1200 S100\nG1 X0 Y40\n" * 600


def main() -> None:
    """Measure and print."""
    with Stage() as stage:
        camera, target = start_camera(stage)
        with running_network(target) as network:
            record = stage.folder / "laser.jsonl"
            ports = {"laser": PortTable(f"sim://grbl?record={record}", "grbl")}
            serial = start_service(stage, ports)
            job_target = f"127.0.0.1:{free_port()}"
            machine = {"serial": serial.target, "job": job_target}
            panel = start_panel(stage, {"bench": machine, "eyes": {"camera": network.target}})

            async def measure() -> None:
                alone = await _share(panel)
                async with chromium_windows(stage.folder) as browser:
                    _show_idle(alone, await _share_with_page(browser, panel))
                    start_job(stage, serial, "laser", PROGRAM, job_target)
                async with chromium_windows(stage.folder) as browser:
                    panel_stops.show(await panel_stops.measure(browser, panel, record))
                async with chromium_windows(stage.folder) as browser:
                    found = await panel_pictures.measure(browser, panel, camera, network)
                    panel_pictures.show(found)

            asyncio.run(measure())


async def _share_with_page(browser: Browser, panel: Panel) -> float:
    await panel_stops.open_machine(browser, panel)
    return await _share(panel)


async def _share(panel: Panel) -> float:
    """Return the share of a core that the panel takes."""
    await asyncio.sleep(SETTLE_S)
    before, began = processor_s(panel.actor.pid), time.monotonic()
    await asyncio.sleep(IDLE_S)
    return (processor_s(panel.actor.pid) - before) / (time.monotonic() - began)


def _show_idle(alone: float, with_page: float) -> None:
    print("an idle panel's share of a core")
    shares = {"no page": alone, "the page of a machine at rest": with_page}
    table(("with", "%"), [(name, 100 * share) for name, share in shares.items()])
    result("idle_cpu_percent", 100 * with_page, "%")
    result("idle_cpu_percent_no_page", 100 * alone, "%")
