"""From the end of a jog to its cancel at the machine, for every way in which a jog can end.

Real serial-svc with simulated lasers, real panel, real Chromium (Debian's), from the simulators'
records. Pointer up, blur and the like: from the event in the page; a closed tab, a dead network or
process: from the act. How long a machine moved after that is what its pieces take, of which one
begins when the one before has ended, and which a cancel cuts off. Where nothing lives that could
send a cancel (the panel is killed or frozen, its network to the host is gone) only that counts;
several machines jog then, each under a page of its own.

BENCH_JOGS is how many of each way (50), BENCH_WAYS which ways.
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

from fakes.job_host import receptions
from fakes.network import Network
from fakes.panel import HOST, PanelHost, panel_host
from fakes.panel_page import chromium_of_its_own

JOGS = int(os.environ.get("BENCH_JOGS", "50"))
MACHINES = 5
PIECES = 4
MOVES_S, TRIES = 2.0, 40
HISTORY_S = 10.0
CANCEL_TIMEOUT_S = 5.0
# What comes after that would be noticed so long.
CANCELLED_S, UNCANCELLED_S = 0.4, 1.5
# To look into the records keeps the networks waiting, which are of this process.
UNDISTURBED_S = 0.1
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
    """What jogs run through: `inner` to the host, `outer` from the browser to the panel."""

    running: PanelHost
    outer: Network
    inner: Network
    browser: Browser
    group: int
    records: list[Path]

    def since(self, machine: int, moment: float) -> list[tuple[float, bytes]]:
        """Return what a machine got since then, on the monotonic clock."""
        with suppress(FileNotFoundError):
            return [each for each in receptions(self.records[machine]) if each[0] >= moment]
        return []


@dataclass
class Way:
    """One way to end a jog; `act` returns when it was ended, on the monotonic clock."""

    name: str
    act: Callable[[Shop, Page], Awaitable[float]]
    is_cancelled: bool = True
    keeps_page: bool = False
    releases_ms: list[float] = field(default_factory=list)
    motions_ms: list[float] = field(default_factory=list)

    @property
    def is_done(self) -> bool:
        """Whether there are enough."""
        return len(self.motions_ms) >= JOGS


def main() -> None:
    """Measure and print."""
    ways = [
        Way("pointerup", _pointer_up, keeps_page=True),
        Way("blur", _blur, keeps_page=True),
        Way("pointercancel", _pointer_cancel, keeps_page=True),
        Way("closed_tab", _close_tab),
        Way("lost_network", _outer_network),
        Way("frozen_browser", _freeze_browser),
        Way("lost_host_network", _inner_network, is_cancelled=False),
        Way("killed_panel", _kill_panel, is_cancelled=False),
        Way("frozen_panel", _freeze_panel, is_cancelled=False),
    ]
    chosen = os.environ.get("BENCH_WAYS", "").split()
    ways = [each for each in ways if not chosen or each.name in chosen]
    asyncio.run(_measure(ways))
    _print(ways)


async def _measure(ways: Sequence[Way]) -> None:
    """End jogs in each way; a shop in which one can be cancelled serves for all of those."""
    cancelled = [each for each in ways if each.is_cancelled]
    if cancelled:
        async with _shop() as shop:
            for way in cancelled:
                began = time.monotonic()
                await _jog_alone(shop, way)
                _tell(way, began)
    for way in (each for each in ways if not each.is_cancelled):
        began = time.monotonic()
        while not way.is_done:
            async with _shop() as shop:
                await _jog_together(shop, way)
        _tell(way, began)


def _tell(way: Way, began: float) -> None:
    """Tell of a way at once: nothing of it is lost where the rest is interrupted."""
    release = f"released within {max(way.releases_ms):.0f} ms, " if way.is_cancelled else ""
    motion = f"{max(way.motions_ms):.0f} ms of motion at most"
    took = f"{len(way.motions_ms)} jogs in {time.monotonic() - began:.0f} s"
    print(f"{way.name}: {took}: {release}{motion}", flush=True)


@asynccontextmanager
async def _shop() -> AsyncIterator[Shop]:
    inner: list[Network] = []

    async def through(port: int) -> int:
        inner.append(Network(f"127.0.0.1:{port}"))
        await inner[0].start()
        return int(inner[0].target.rpartition(":")[2])

    with tempfile.TemporaryDirectory(prefix="usbshare-bench-") as folder:
        home = Path(folder)
        records = [home / f"laser{each}.jsonl" for each in range(MACHINES)]
        ports = "".join(
            f'[ports.laser{each}]\nsource = "sim://grbl?record={path}"\nprofile = "grbl"\n'
            for each, path in enumerate(records)
        )
        try:
            async with panel_host(home, ports=ports, through=through) as running:
                outer = Network(running.origin.removeprefix("http://"))
                await outer.start()
                try:
                    async with chromium_of_its_own(home) as (browser, group):
                        yield Shop(running, outer, inner[0], browser, group, records)
                finally:
                    await outer.close()
        finally:
            for each in inner:
                await each.close()


async def _jog_alone(shop: Shop, way: Way) -> None:
    """Jog one machine and end it, again and again."""
    page = await _open(shop, 0)
    while not way.is_done:
        await _press(shop, 0, page)
        try:
            ended = await way.act(shop, page)
            await _until_cancelled(shop, ended)
            await asyncio.sleep(CANCELLED_S)
            _note(shop, way, 0, ended)
        finally:
            if way.act is _freeze_browser:
                os.killpg(shop.group, signal.SIGCONT)
            shop.outer.heal()
        if not way.keeps_page:
            await _leave(page)
            page = await _open(shop, 0)
    await _leave(page)


async def _jog_together(shop: Shop, way: Way) -> None:
    """Jog all machines, and end them by one act."""
    pages = await asyncio.gather(*(_open(shop, each) for each in range(MACHINES)))
    await asyncio.gather(*(_press(shop, each, page) for each, page in enumerate(pages)))
    await asyncio.sleep(UNDISTURBED_S)
    ended = await way.act(shop, pages[0])
    await asyncio.sleep(UNCANCELLED_S)
    for machine in range(MACHINES):
        if _is_moving(shop, machine, ended):
            _note(shop, way, machine, ended)
    shop.running.panel.process.send_signal(signal.SIGCONT)
    for network in (shop.outer, shop.inner):
        network.heal()


async def _open(shop: Shop, machine: int) -> Page:
    page = await (await shop.browser.new_context()).new_page()
    await page.add_init_script(f"({WATCH})()")
    await page.goto(f"http://{shop.outer.target}/#/machine/{HOST}/laser{machine}")
    await page.get_by_role("radio", name="While held").check()
    return page


async def _leave(page: Page) -> None:
    with suppress(Error):
        await page.context.close()


async def _press(shop: Shop, machine: int, page: Page) -> None:
    """Press an arrow until the machine moves; a busy computer may let a jog end."""
    arrow = page.get_by_role("button", name="X minus", exact=True)
    for _ in range(TRIES):
        await page.mouse.up()
        await arrow.and_(page.locator(":enabled")).wait_for()
        box = await arrow.bounding_box()
        if box is None:
            raise BenchError("the page shows no arrow")
        began = time.monotonic()
        await page.mouse.move(box["x"] + 20, box["y"] + 20)
        await page.mouse.down()
        while time.monotonic() - began < MOVES_S:
            await asyncio.sleep(0.02)
            said = b"".join(data for _, data in shop.since(machine, began))
            if CANCEL in said:
                break
            if said.count(b"$J=") >= PIECES:
                return
    raise BenchError("the machine does not move, or not for long")


def _is_moving(shop: Shop, machine: int, moment: float) -> bool:
    received = b"".join(data for at, data in shop.since(machine, 0.0) if at < moment)
    return received.rfind(b"$J=") > received.rfind(CANCEL)


async def _until_cancelled(shop: Shop, ended: float) -> None:
    deadline = ended + CANCEL_TIMEOUT_S
    # A busy computer: the lease may have ended right before.
    while not any(CANCEL in data for _, data in shop.since(0, ended - CANCELLED_S)):
        if time.monotonic() > deadline:
            raise BenchError("the machine got no cancel")
        await asyncio.sleep(0.01)


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


def _note(shop: Shop, way: Way, machine: int, ended: float) -> None:
    """Note when the cancel came, and how much motion the machine was given after the end."""
    if way.is_cancelled:
        # On a busy computer the lease may have ended right before.
        after = shop.since(machine, ended) if _is_moving(shop, machine, ended) else []
        cancelled = next((at for at, data in after if CANCEL in data), ended)
        way.releases_ms.append((cancelled - ended) * 1000)
    way.motions_ms.append(1000 * _moved_after(ended, shop.since(machine, ended - HISTORY_S)))


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
    shares = (0.5, 0.9, 1.0)
    rows = [
        (
            way.name,
            len(way.motions_ms),
            *(_ms(way.releases_ms, share) for share in shares),
            *(_ms(way.motions_ms, share) for share in shares),
        )
        for way in ways
    ]
    table(("way", "jogs", "cancel p50", "p90", "max", "motion p50", "p90", "max"), rows)
    for way in ways:
        if way.is_cancelled:
            result(f"jog_release_{way.name}_max_ms", max(way.releases_ms), "ms")
        result(f"jog_motion_{way.name}_max_ms", max(way.motions_ms), "ms")
