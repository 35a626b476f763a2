"""Pictures in the panel's page: when the first one is seen, and how old they are.

The age is the page's own (docs/decisions/0021); here one clock is at both ends, so it is compared
with the true one. The slow link lies between panel and camera: 2 Mbit/s, a round trip of 50 ms.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from bench.panel_stage import Browser, Network, Panel, descendants
from bench.report import quantile, result, table
from bench.stage import Actor, BenchError, processor_s

ENCODINGS = ("h264", "jpeg")
FIRSTS = 5
SECONDS = 10
SETTLE_S = 3
SLOW_BYTES_PER_S, SLOW_ONE_WAY_S = 250_000.0, 0.025
MOST_WRONG_MS = 30.0
MOUNT = """import("/modules/picture.js").then(({ mountPicture }) => {
  window.show = () => {
    window.picture?.unmount();
    window.picture = mountPicture(document.body, { host: "eyes" });
  };
})"""
# Polled, since drawing tells nobody; a timer of a page that is seen comes each 4 ms.
FIRST = """new Promise((done) => {
  const began = performance.now();
  show();
  const look = setInterval(() => {
    if (!picture.stats.frames) return;
    clearInterval(look);
    done(picture.stats.drawnUnixMs - performance.timeOrigin - began);
  }, 4);
})"""
AGES = """new Promise((done) => {
  const seen = [];
  let last = picture.stats.sequence;
  const look = setInterval(() => {
    const stats = picture.stats;
    if (stats.sequence !== last) seen.push(stats);
    last = stats.sequence;
  }, 4);
  setTimeout(() => { clearInterval(look); done(seen); }, SECONDS * 1000);
})""".replace("SECONDS", str(SECONDS))


@dataclass(frozen=True, slots=True)
class Measured:
    """One way of showing pictures: milliseconds, and the share of a core that each part took.

    `arrived_ms` is how old the pictures were when the page had them, not decoded yet.
    """

    firsts_ms: list[float]
    ages_ms: list[float]
    arrived_ms: list[float]
    wrong_ms: list[float]
    cores: dict[str, float]

    @property
    def fps(self) -> float:
        """Pictures a second."""
        return len(self.ages_ms) / SECONDS


async def measure(
    browser: Browser, panel: Panel, camera: Actor, network: Network
) -> dict[str, Measured]:
    """Measure H.264 and JPEG, on loopback and through the slow link."""
    found = {each: await _measure(browser, panel, camera, each) for each in ENCODINGS}
    for way in (network.up, network.down):
        way.bytes_per_s, way.delay_s = SLOW_BYTES_PER_S, SLOW_ONE_WAY_S
    for each in ENCODINGS:
        found[f"{each}_slow_link"] = await _measure(browser, panel, camera, each)
    network.heal()
    return found


async def _measure(browser: Browser, panel: Panel, camera: Actor, encoding: str) -> Measured:
    page = await browser.new_window()
    await page.open(panel.url)
    await page.until("!!document.querySelector('h1')")
    if encoding == "jpeg":
        await page.evaluate("delete window.VideoDecoder")
    await page.evaluate(MOUNT)
    await page.evaluate(FIRST)  # the camera is open, and the modules are there
    firsts = [await page.evaluate(FIRST) for _ in range(FIRSTS)]
    await asyncio.sleep(SETTLE_S)
    before = _cpu_s(panel, camera)
    seen = await page.evaluate(AGES)
    cores = {name: (s - before[name]) / SECONDS for name, s in _cpu_s(panel, camera).items()}
    await page.evaluate("picture.unmount()")
    if not seen or {each["format"] for each in seen} != {encoding}:
        raise BenchError(f"the page did not show {encoding} all the time")
    wrong = [each["ageMs"] - (each["drawnUnixMs"] - each["capturedUnixMs"]) for each in seen]
    if (worst := max(map(abs, wrong))) > MOST_WRONG_MS:
        raise BenchError(f"the page's age is wrong by {worst:.1f} ms")
    ages, arrived = ([each[key] for each in seen] for key in ("ageMs", "arrivedAgeMs"))
    return Measured(firsts, ages, arrived, wrong, cores)


def _cpu_s(panel: Panel, camera: Actor) -> dict[str, float]:
    return {
        "camera": processor_s(camera.pid),
        "panel": processor_s(panel.actor.pid),
        "browser": sum(map(processor_s, descendants("chromium"))),
    }


def show(found: dict[str, Measured]) -> None:
    """Print the table and the results."""
    print(
        "pictures, 1280x720 at 30 fps, in ms: until the first one (median); how old they are when"
    )
    print(
        "the page has them and when it has drawn them, as it says itself, and how wrong that is at"
    )
    print("most; share of a core of each part. slow_link: 2 Mbit/s and a round trip of 50 ms")
    parts = [*next(iter(found.values())).cores]
    head = ("way", "first", "has p95", "drawn p50", "p95", "max", "wrong", "fps", *parts)
    table(head, [_row(way, measured) for way, measured in found.items()])
    for way, measured in found.items():
        suffix = way.removeprefix("h264")
        suffix = f"_{suffix}" if suffix and not suffix.startswith("_") else suffix
        result(f"first_picture_ms{suffix}", quantile(measured.firsts_ms, 0.5), "ms")
        result(f"video_age_p95_ms{suffix}", quantile(measured.ages_ms, 0.95), "ms")


def _row(way: str, measured: Measured) -> tuple[object, ...]:
    ages_ms = measured.ages_ms
    times_ms = (
        quantile(measured.firsts_ms, 0.5),
        quantile(measured.arrived_ms, 0.95),
        *(quantile(ages_ms, share) for share in (0.5, 0.95)),
        max(ages_ms),
        max(map(abs, measured.wrong_ms)),
        measured.fps,
    )
    cores = (f"{share:.0%}" for share in measured.cores.values())
    return (way, *(round(each, 1) for each in times_ms), *cores)
