"""From a click on HOLD in a page to the byte at the machine, while much else is shown.

The page shows six pictures, three more panels are open, a job of job-svc runs. The click is the
moment of the pointer's event in the page; the byte's is in the simulated machine's record.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.panel_stage import CLOCK_MS, Browser, Page, Panel, receptions
from bench.report import quantile, result, table
from bench.stage import BenchError

STOPS = int(os.environ.get("BENCH_STOPS", "100"))
PICTURES = 6
MORE_PANELS = 3
GAP_S = (0.02, 0.08)
SETTLE_S = 3.0
STOP_TIMEOUT_S = 10.0
LOOK_S = 0.005
AGAIN_S = 0.2
HOLD, RESUMED = b"!", b"~"
# When the button was pressed, and when the page sent the stop.
WATCH = f"""(() => {{
  const send = WebSocket.prototype.send;
  WebSocket.prototype.send = function (text) {{
    if (text.includes?.("STOP_ACTION_HOLD")) window.held.sent = {CLOCK_MS};
    return send.call(this, text);
  }};
  addEventListener("pointerdown", (event) => {{
    window.held = {{ pressed: performance.timeOrigin + event.timeStamp }};
  }}, {{ capture: true }});
}})()"""
SHOW = f"""import("/modules/picture.js").then(({{ mountPicture }}) => {{
  window.pictures = [];
  for (let each = 0; each < {PICTURES}; each += 1)
    window.pictures.push(mountPicture(document.body, {{ host: "eyes" }}));
}})"""
FRAMES = "window.pictures.map((each) => each.stats.frames)"
IS_READY = "document.querySelector('#hold')?.disabled === false"
PLACE = """(() => {
  const { x, y } = document.querySelector("#hold").getBoundingClientRect();
  return [x + 9, y + 9];
})()"""
RESUME = """[...document.querySelectorAll(".note .button.primary")]
  .find((each) => each.textContent === "Resume" && each.offsetParent && !each.disabled)"""


@dataclass(frozen=True, slots=True)
class Click:
    """One click, in milliseconds from the press: to the page's message, to the machine's byte."""

    sent_ms: float
    arrived_ms: float


@dataclass(frozen=True, slots=True)
class Clicks:
    """All clicks; `fps` is how many pictures a second each view showed meanwhile."""

    each: Sequence[Click]
    fps: float


async def open_machine(browser: Browser, panel: Panel) -> Page:
    """Show the machine in a window of its own."""
    page = await browser.new_window()
    await page.open(f"{panel.url}#/machine/bench/laser")
    await page.until(IS_READY)
    return page


async def measure(browser: Browser, panel: Panel, record: Path) -> Clicks:
    """Hold and resume again and again."""
    for _ in range(MORE_PANELS):
        await open_machine(browser, panel)
    page = await open_machine(browser, panel)
    await page.evaluate(WATCH)
    await page.evaluate(SHOW)
    await page.until(f"{FRAMES}.every((each) => each)")
    await asyncio.sleep(SETTLE_S)
    began, first = time.monotonic(), sum(await page.evaluate(FRAMES))
    clicks = [await _click(page, record) for _ in range(STOPS)]
    shown = sum(await page.evaluate(FRAMES)) - first
    return Clicks(clicks, shown / PICTURES / (time.monotonic() - began))


def show(clicks: Clicks) -> None:
    """Print the table and the results."""
    print(f"ms from the click on HOLD, {len(clicks.each)} times while a job runs, six pictures are")
    print(f"shown ({clicks.fps:.1f} a second each), and three more panels are open")
    ways = {
        "to the page's message": [each.sent_ms for each in clicks.each],
        "from there to the machine": [each.arrived_ms - each.sent_ms for each in clicks.each],
        "both": [each.arrived_ms for each in clicks.each],
    }
    shares = (0.5, 0.9, 0.99)
    rows = [(way, *(quantile(ms, share) for share in shares), max(ms)) for way, ms in ways.items()]
    table(("way", "p50", "p90", "p99", "max"), rows)
    for share, name in ((0.5, "p50"), (0.99, "p99")):
        result(f"stop_click_{name}_ms", quantile(ways["both"], share), "ms")


async def _click(page: Page, record: Path) -> Click:
    await asyncio.sleep(random.uniform(*GAP_S))
    seen_bytes = record.stat().st_size  # noqa: ASYNC240 - a look
    place = await page.evaluate(PLACE)
    await page.mouse("mousePressed", *place)
    await page.mouse("mouseReleased", *place)
    arrived_s = await _when(record, seen_bytes, HOLD, STOP_TIMEOUT_S)
    if arrived_s is None:
        raise BenchError("the machine got no hold")
    arrived_ms = 1000 * (arrived_s + time.time() - time.monotonic())
    held = await page.evaluate("window.held")
    await _resume(page, record, seen_bytes)
    pressed_ms = held["pressed"]
    return Click(held["sent"] - pressed_ms, arrived_ms - pressed_ms)


async def _resume(page: Page, record: Path, seen_bytes: int) -> None:
    """Resume: again where the page showed the hold before, which is refused."""
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while time.monotonic() < deadline:
        await page.evaluate(f"{RESUME}?.click()")
        if await _when(record, seen_bytes, RESUMED, AGAIN_S) is not None:
            await page.until(f"!{RESUME}")
            return
    raise BenchError("the machine does not resume")


async def _when(record: Path, seen_bytes: int, byte: bytes, timeout_s: float) -> float | None:
    """Return when the machine got a byte, on the monotonic clock."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        for at, data in receptions(record, seen_bytes):
            if byte in data:
                return at
        await asyncio.sleep(LOOK_S)
    return None
