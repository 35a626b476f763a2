"""From the end of a jog to its cancel at the machine, for every way in which a jog can end.

Real serial-svc with its simulated laser, real panel, real Chromium (Debian's), from the simulator's
record. Pointer up, blur and the like: from the event in the page; a closed tab, a dead network or
process: from the act. How long the machine moved after that is what its pieces take, of which one
begins when the one before has ended, and which a cancel cuts off. Where nothing lives that could
send a cancel (the panel is killed or frozen, its network to the host is gone) only that counts.

BENCH_JOGS is how many of each way (50).
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from bench.report import quantile, result, table
from bench.stage import REPOSITORY, BenchError

sys.path.insert(0, str(REPOSITORY / "tests"))

from playwright.async_api import Browser, Error, Page

from fakes.network import Network
from fakes.panel import HOST, PanelHost, panel_host
from fakes.panel_page import chromium_of_its_own

JOGS = int(os.environ.get("BENCH_JOGS", "50"))
PIECES = 4
MOVES_S, TRIES = 5.0, 20
SETTLE_S = 1.5
CANCEL = b"\x85"
PIECE = re.compile(rb"\$J=G21G91X-?([\d.]+)F([\d.]+)")
CLOCK_MS = "performance.timeOrigin + performance.now()"
# When the page last said that the finger is down, and when it was told that it is not.
WATCH = f"""() => {{
  window.jogs = {{ renewed: 0, ended: 0 }};
  const send = WebSocket.prototype.send;
  WebSocket.prototype.send = function (text) {{
    if (text.includes('"jog":')) window.jogs.renewed = {CLOCK_MS};
    return send.call(this, text);
  }};
  for (const name of ["pointerup", "pointercancel", "blur"])
    addEventListener(name, () => {{ window.jogs.ended = {CLOCK_MS}; }}, {{ capture: true }});
}}"""


@dataclass
class Shop:
    """What a jog runs through: `inner` to the host, `outer` from the browser to the panel."""

    running: PanelHost
    outer: Network
    inner: Network
    browser: Browser
    group: int

    def since(self, moment: float) -> list[tuple[float, bytes]]:
        """Return what the machine got since then, on the monotonic clock."""
        return [each for each in self.running.host.receptions() if each[0] >= moment]


@dataclass
class Way:
    """One way to end a jog; `act` returns when it was ended, on the monotonic clock."""

    name: str
    act: Callable[[Shop, Page], Awaitable[float]]
    is_cancelled: bool = True
    releases_ms: list[float] = field(default_factory=list)
    motions_ms: list[float] = field(default_factory=list)


def main() -> None:
    """Measure and print."""
    ways = [
        Way("pointer_up", _pointer_up),
        Way("blur", _blur),
        Way("pointer_cancel", _pointer_cancel),
        Way("closed_tab", _close_tab),
        Way("browser_network", _outer_network),
        Way("browser_frozen", _freeze_browser),
        Way("host_network", _inner_network, is_cancelled=False),
        Way("panel_killed", _kill_panel, is_cancelled=False),
        Way("panel_frozen", _freeze_panel, is_cancelled=False),
    ]
    chosen = os.environ.get("BENCH_WAYS", "").split()
    ways = [each for each in ways if not chosen or each.name in chosen]
    for way in ways:
        asyncio.run(_measure(way))
        print(f"{way.name}: {len(way.motions_ms)} jogs", flush=True)
    _print(ways)


async def _measure(way: Way) -> None:
    """End jogs in one way; what a way breaks is made anew."""
    while len(way.motions_ms) < JOGS:
        with tempfile.TemporaryDirectory(prefix="usbshare-bench-") as folder:
            async with _shop(Path(folder)) as shop:
                goes_on = True
                while goes_on and len(way.motions_ms) < JOGS:
                    goes_on = await _jog_once(shop, way)


@asynccontextmanager
async def _shop(home: Path) -> AsyncIterator[Shop]:
    inner: list[Network] = []

    async def through(port: int) -> int:
        inner.append(Network(f"127.0.0.1:{port}"))
        await inner[0].start()
        return int(inner[0].target.rpartition(":")[2])

    try:
        async with panel_host(home, through=through) as running:
            outer = Network(running.origin.removeprefix("http://"))
            await outer.start()
            try:
                async with chromium_of_its_own(home) as (browser, group):
                    yield Shop(running, outer, inner[0], browser, group)
            finally:
                await outer.close()
    finally:
        for each in inner:
            await each.close()


async def _jog_once(shop: Shop, way: Way) -> bool:
    """Jog and end it; returns whether another jog can follow in the same shop."""
    context = await shop.browser.new_context()
    page = await context.new_page()
    await page.add_init_script(f"({WATCH})()")
    await page.goto(f"http://{shop.outer.target}/#/machine/{HOST}/laser")
    await _press(shop, page)
    try:
        ended = await way.act(shop, page)
        await asyncio.sleep(SETTLE_S)
        _note(shop, way, ended)
    finally:
        if way.act is _freeze_browser:
            os.killpg(shop.group, signal.SIGCONT)
        if way.act is _freeze_panel:
            shop.running.panel.process.send_signal(signal.SIGCONT)
        for network in (shop.outer, shop.inner):
            network.heal()
    if not way.is_cancelled:
        return False
    with suppress(Error):
        await context.close()
    return True


async def _press(shop: Shop, page: Page) -> None:
    """Press an arrow until the machine moves; a busy computer may let a jog end."""
    await page.get_by_role("radio", name="While held").check()
    arrow = page.get_by_role("button", name="X minus", exact=True)
    for _ in range(TRIES):
        await arrow.and_(page.locator(":enabled")).wait_for()
        box = await arrow.bounding_box()
        if box is None:
            raise BenchError("the page shows no arrow")
        began = time.monotonic()
        await page.mouse.up()
        await page.mouse.move(box["x"] + 20, box["y"] + 20)
        await page.mouse.down()
        while time.monotonic() - began < MOVES_S:
            await asyncio.sleep(0.02)
            with suppress(FileNotFoundError):
                said = b"".join(data for _, data in shop.since(began))
                if said.count(b"$J=") >= PIECES and CANCEL not in said:
                    return
    raise BenchError("the machine does not move, or not for long")


async def _pointer_up(_: Shop, page: Page) -> float:
    await page.mouse.up()
    return await _told(page)


async def _blur(_: Shop, page: Page) -> float:
    await page.evaluate("window.dispatchEvent(new Event('blur'))")
    return await _told(page)


async def _pointer_cancel(_: Shop, page: Page) -> float:
    event = "new PointerEvent('pointercancel', { bubbles: true })"
    await page.evaluate(f"document.querySelector('[data-moving]')?.dispatchEvent({event})")
    return await _told(page)


async def _close_tab(_: Shop, page: Page) -> float:
    ended = time.monotonic()
    await page.close()
    return ended


async def _outer_network(shop: Shop, _: Page) -> float:
    shop.outer.black_hole()
    return time.monotonic()


async def _inner_network(shop: Shop, _: Page) -> float:
    shop.inner.black_hole()
    return time.monotonic()


async def _freeze_browser(shop: Shop, _: Page) -> float:
    os.killpg(shop.group, signal.SIGSTOP)
    return time.monotonic()


async def _kill_panel(shop: Shop, _: Page) -> float:
    shop.running.panel.process.send_signal(signal.SIGKILL)
    return time.monotonic()


async def _freeze_panel(shop: Shop, _: Page) -> float:
    shop.running.panel.process.send_signal(signal.SIGSTOP)
    return time.monotonic()


async def _told(page: Page) -> float:
    ended_ms = float(await page.evaluate("window.jogs.ended"))
    return ended_ms / 1000 - (time.time() - time.monotonic())


def _note(shop: Shop, way: Way, ended: float) -> None:
    """Note when the cancel came, and how much motion the machine was given after the end."""
    after = shop.since(ended)
    cancelled = next((at for at, data in after if CANCEL in data), None)
    if cancelled is not None:
        way.releases_ms.append((cancelled - ended) * 1000)
    elif way.is_cancelled:
        before = [data for _, data in shop.since(ended - 0.2)]
        if not any(CANCEL in data for data in before):
            raise BenchError(f"{way.name}: the machine got no cancel")
        way.releases_ms.append(0.0)  # a busy computer: the lease had ended before
    way.motions_ms.append(1000 * _moved_after(ended, shop.since(ended - MOVES_S)))


def _moved_after(moment: float, received: Sequence[tuple[float, bytes]]) -> float:
    """Return for how many seconds the machine moved after a moment: a piece after the other."""
    motions: list[tuple[float, float]] = []
    free_at = 0.0
    line = b""
    for at, data in received:
        if CANCEL in data:
            motions = [(begin, min(end, at)) for begin, end in motions if begin < at]
            free_at = at
        *whole, line = (line + data.translate(None, CANCEL + b"?")).split(b"\n")
        for piece in filter(None, map(PIECE.search, whole)):
            begin = max(at, free_at)
            free_at = begin + float(piece[1]) / (float(piece[2]) / 60)
            motions.append((begin, free_at))
    return sum(max(0.0, end - max(begin, moment)) for begin, end in motions)


def _ms(times_ms: Sequence[float], share: float) -> float | str:
    return round(quantile(times_ms, share), 1) if times_ms else ""


def _print(ways: Sequence[Way]) -> None:
    print(f"ms from the end of a jog to its cancel, and of motion after it; load {os.getloadavg()}")
    rows = [
        (
            way.name,
            len(way.motions_ms),
            *(_ms(way.releases_ms, share) for share in (0.5, 0.99)),
            round(max(way.motions_ms), 1),
        )
        for way in ways
    ]
    table(("way", "jogs", "p50", "p99", "motion"), rows)
    for way in ways:
        if way.is_cancelled:
            result(f"jog_release_p99_ms_{way.name}", quantile(way.releases_ms, 0.99), "ms")
        result(f"jog_most_motion_ms_{way.name}", max(way.motions_ms), "ms")
