"""Pictures in the panel's page: when the first one is seen, and how old they are.

Real camera-svc with its simulated bed, real panel, real Chromium (Debian's). The age is the page's
own (docs/decisions/0021); here one clock is at both ends, so it is compared with the true one. The
slow link lies between panel and host: 2 Mbit/s, a round trip of 50 ms.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bench.report import quantile, result, table
from bench.stage import REPOSITORY, SCRIPTS, BenchError, Stage, free_port

sys.path.insert(0, str(REPOSITORY / "tests"))

from fakes.network import Network, running_network

SOURCE = "sim://bed?width=1280&height=720&fps=30"
FIRSTS = 10
SECONDS = 15
SETTLE_S = 5
SLOW_BYTES_PER_S, SLOW_ONE_WAY_S = 250_000.0, 0.025
FIRST_TIMEOUT_S = 30.0
MOST_WRONG_MS = 30.0
MOUNT = """async () => {
  const { mountPicture } = await import("/modules/picture.js");
  window.show = () => {
    window.picture?.unmount();
    window.picture = mountPicture(document.body, { host: "bench" });
  };
}"""
# Polled, since drawing tells nobody; a timer of a page that is seen comes each 4 ms.
FIRST = """() => new Promise((done) => {
  const began = performance.now();
  show();
  const look = setInterval(() => {
    if (!picture.stats.frames) return;
    clearInterval(look);
    done(performance.timeOrigin + began);
  }, 4);
}).then((beganUnixMs) => picture.stats.drawnUnixMs - beganUnixMs)"""
AGES = """(seconds) => new Promise((done) => {
  const seen = [];
  let last = picture.stats.sequence;
  const look = setInterval(() => {
    const stats = picture.stats;
    if (stats.sequence !== last) seen.push(stats);
    last = stats.sequence;
  }, 4);
  setTimeout(() => { clearInterval(look); done(seen); }, seconds * 1000);
})"""


@dataclass(frozen=True, slots=True)
class Measured:
    """One way of showing pictures; times in milliseconds."""

    firsts_ms: list[float]
    ages_ms: list[float]
    wrong_ms: list[float]

    @property
    def fps(self) -> float:
        """Pictures a second."""
        return len(self.ages_ms) / SECONDS


def main() -> None:
    """Measure and print."""
    found: dict[str, Measured] = {}
    with Stage() as stage, _panel(stage) as (url, network):
        for encoding in ("h264", "jpeg"):
            found[encoding] = _measure(url, encoding)
        for way in (network.up, network.down):
            way.bytes_per_s, way.delay_s = SLOW_BYTES_PER_S, SLOW_ONE_WAY_S
        for encoding in ("h264", "jpeg"):
            found[f"{encoding}_slow"] = _measure(url, encoding)
    _print(found)


@contextmanager
def _panel(stage: Stage) -> Iterator[tuple[str, Network]]:
    """Run a camera service and a panel that reaches it through a network."""
    target = f"127.0.0.1:{free_port()}"
    config = stage.folder / "camera.toml"
    config.write_text(f'[cameras.bed]\nsource = "{SOURCE}"\n')
    words = [str(SCRIPTS / "camera-svc"), "--config", str(config), "--listen", target]
    camera = stage.start(words, environment={"USBSHARE_DISCOVERY_INTERFACES": "127.0.0.1"})
    camera.wait_for("camera-svc ready at")
    with running_network(target) as network:
        hosts = stage.folder / "panel.toml"
        hosts.write_text(
            "[discovery]\nmdns = false\nbeacon = false\n"
            f'[hosts.bench]\naddress = "127.0.0.1"\ncamera = {network.target.rpartition(":")[2]}\n'
        )
        command = [str(SCRIPTS / "usbshare-bridge"), "--config", str(hosts), "panel", "--json"]
        panel = stage.start([*command, "--listen", "127.0.0.1:0"])
        panel.wait_for('"ready"')
        line = next(each for each in panel.said.splitlines() if '"ready"' in each)
        yield json.loads(line)["url"], network


def _measure(url: str, encoding: str) -> Measured:
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - of the tests' tools

    chromium = shutil.which("chromium")
    if chromium is None:
        raise BenchError("there is no `chromium` (Debian package chromium)")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.set_default_timeout(FIRST_TIMEOUT_S * 1000)
        if encoding == "jpeg":
            page.add_init_script("delete window.VideoDecoder")
        page.goto(url)
        page.evaluate(MOUNT)
        page.evaluate(FIRST)  # the camera is open, and the modules are there
        firsts = [page.evaluate(FIRST) for _ in range(FIRSTS)]
        page.wait_for_timeout(SETTLE_S * 1000)
        seen = page.evaluate(AGES, SECONDS)
        browser.close()
    if not seen or {each["format"] for each in seen} != {encoding}:
        raise BenchError(f"the page did not show {encoding} all the time")
    wrong = [each["ageMs"] - (each["drawnUnixMs"] - each["capturedUnixMs"]) for each in seen]
    if (worst := max(map(abs, wrong))) > MOST_WRONG_MS:
        raise BenchError(f"the page's age is wrong by {worst:.1f} ms")
    return Measured(firsts, [each["ageMs"] for each in seen], wrong)


def _print(found: dict[str, Measured]) -> None:
    print(
        "ms: until the first picture (median), age of pictures as the page says it, and how wrong"
    )
    print("that is at most; slow: 2 Mbit/s and a round trip of 50 ms")
    rows = [_row(way, measured) for way, measured in found.items()]
    table(("way", "first", "p50", "p95", "max", "fps", "wrong"), rows)
    for way, measured in found.items():
        suffix = "" if way == "h264" else f"_{way.removeprefix('h264_')}"
        result(f"first_picture_ms{suffix}", quantile(measured.firsts_ms, 0.5), "ms")
        result(f"video_age_p95_ms{suffix}", quantile(measured.ages_ms, 0.95), "ms")


def _row(way: str, measured: Measured) -> tuple[object, ...]:
    ages = measured.ages_ms
    return (
        way,
        round(quantile(measured.firsts_ms, 0.5), 1),
        *(round(quantile(ages, share), 1) for share in (0.5, 0.95)),
        round(max(ages), 1),
        round(measured.fps, 1),
        round(max(map(abs, measured.wrong_ms)), 1),
    )
