"""One viewer behind a slow link: it sees less, but nothing old, and the others notice nothing."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import grpc
import pytest

from fakes.camera_viewers import Seen, Viewers
from fakes.namespaces import Namespace, joined_namespaces
from fakes.network import Network, running_network
from fakes.processes import SCRIPTS, camera_service, running
from fakes.waiting import until
from usbshare.camera.v1 import camera_pb2 as pb
from usbshare.camera.v1.camera_pb2_grpc import CameraServiceStub
from usbshare.rpc.channel import VIDEO_KEEPALIVE, open_channel, parse_target
from usbshare.rpc.tls import ClientBundle

SLOW_BYTES_PER_S = 250_000  # 2 Mbit/s
FAST_VIEWERS = 7
SETTLE_S, WATCHED_S = 5.0, 25.0
FPS = 30
# Decision 10: no frame is sent that would take over 0.35 s; three may be on their way.
LONGEST_LINK_S = 0.35 + 3 / FPS
PORT = 50052


def configured(home: Path, fps: int) -> str:
    source = f"sim://bed?width=1280&height=720&fps={fps}"
    path = home / "usbshare.toml"
    path.write_text(f'[cameras.bed]\nsource = "{source}"\nalways_on = true\n')
    return str(path)


# At 5 frames a second, of which three may be on their way, a viewer on loopback is never late.


async def test_a_slow_viewer_costs_the_others_no_frame(tmp_path: Path) -> None:
    with camera_service(tmp_path, "--config", configured(tmp_path, 5)) as (_, target):
        network = Network(target)
        await network.start()
        network.down.bytes_per_s = network.up.bytes_per_s = SLOW_BYTES_PER_S
        try:
            found = await stats_beside_a_slow_one(tmp_path, target, network.target)
        finally:
            await network.close()
    viewers = {viewer.client_name: viewer for viewer in found.viewers}
    slow = viewers.pop("slow")
    assert len(viewers) == FAST_VIEWERS
    assert slow.dropped_window > 0
    for fast in viewers.values():
        assert fast.sent_frames > slow.sent_frames
        assert (fast.dropped_window, fast.dropped_rate) == (0, 0)


async def stats_beside_a_slow_one(home: Path, target: str, throttled: str) -> pb.CameraStats:
    """Return what became of every frame, after 25 at each fast viewer."""
    async with connected(home, target) as near, connected(home, throttled) as far:
        whole = pb.View(is_fixed=True)
        asked = [pb.Open(client_name=f"fast {n}", window=3) for n in range(FAST_VIEWERS)]
        counts = [0] * (FAST_VIEWERS + 1)
        watching = [
            asyncio.create_task(watch(stub, each, counts, index))
            for index, (stub, each) in enumerate(
                [(far, pb.Open(client_name="slow", view=whole, window=1))]
                + [(near, each) for each in asked]
            )
        ]
        try:
            await until(lambda: min(counts[1:]) >= 25 and counts[0] > 0)
            return await stats(near)
        finally:
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)


async def watch(stub: Any, asked: pb.Open, counts: list[int], index: int) -> None:
    """Acknowledge and count frames, for ever."""
    call = stub.Watch()
    await call.write(pb.WatchRequest(open=asked))
    while (response := await call.read()) is not grpc.aio.EOF:
        sequence = response.frame.sequence
        counts[index] += bool(sequence)
        if response.WhichOneof("event") in {"opened", "frame"}:
            await call.write(pb.WatchRequest(acknowledge=pb.Acknowledge(sequence=sequence)))


async def stats(stub: Any) -> pb.CameraStats:
    call = stub.WatchStats(pb.WatchStatsRequest())
    response = await call.read()
    call.cancel()
    found: pb.CameraStats = response.cameras[0]
    return found


@asynccontextmanager
async def connected(home: Path, target: str) -> AsyncIterator[Any]:
    bundle = ClientBundle.load(home / "config" / "usbshare" / "client.pem")
    most = 16 * 1024 * 1024
    channel = open_channel(
        parse_target(target), bundle, keepalive=VIDEO_KEEPALIVE, most_message_bytes=most
    )
    try:
        yield CameraServiceStub(channel)
    finally:
        await channel.close()


# A picture is old where the link has much to carry before it is there. That is counted in bytes,
# since all else is late on a busy machine. The seconds and frame rates that are printed are those
# of decision 10 on an idle machine only; `test_adaptation.py` has its bounds in virtual time.


@pytest.mark.slow
def test_behind_a_throttling_proxy_no_picture_is_old(tmp_path: Path) -> None:
    config = configured(tmp_path, FPS)
    with (
        camera_service(tmp_path, "--config", config) as (_, target),
        running_network(target) as network,
    ):
        network.down.bytes_per_s = network.up.bytes_per_s = SLOW_BYTES_PER_S
        alone = fast_rates(tmp_path, target)
        with viewers(tmp_path, network.target, 1, WATCHED_S) as slow:
            fast = fast_rates(tmp_path, target, WATCHED_S - SETTLE_S)
            require_fresh(slow.seen()[0])
    report_rates(alone, fast)


@pytest.mark.slow
def test_behind_a_token_bucket_no_picture_is_old(tmp_path: Path) -> None:
    with joined_namespaces() as wire:
        limit_or_skip(wire.host)
        target = f"{wire.host.address}:{PORT}"
        config = configured(tmp_path, FPS)
        command = [str(SCRIPTS / "camera-svc"), "--config", config, "--listen", target]
        with running(wire.host.command(command), tmp_path) as service:
            service.wait_for("ready at")
            alone = fast_rates(tmp_path, target, within=wire.host.command([]))
            with viewers(tmp_path, target, 1, WATCHED_S, within=wire.client.command([])) as slow:
                seconds = WATCHED_S - SETTLE_S
                fast = fast_rates(tmp_path, target, seconds, within=wire.host.command([]))
                require_fresh(slow.seen()[0])
    report_rates(alone, fast)


def limit_or_skip(end: Namespace) -> None:
    """Let that end send no more than the slow rate."""
    bucket = ["rate", "2mbit", "burst", "16kb", "latency", "50ms"]
    tc = shutil.which("tc", path="/sbin:/usr/sbin:/bin:/usr/bin")
    if tc is None:
        pytest.skip("SKIPPED: there is no `tc` (Debian package iproute2)")
    command = end.command([tc, "qdisc", "add", "dev", end.interface, "root", "tbf", *bucket])
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
    if done.returncode:
        pytest.skip(f"SKIPPED: tc tbf does not work here: {done.stderr.strip()}")


@contextmanager
def viewers(
    home: Path, target: str, count: int, seconds: float, *, within: Sequence[str] = ()
) -> Iterator[Viewers]:
    made = Viewers(home, target, count, seconds, within=within)
    try:
        yield made
    finally:
        made.stop()


def fast_rates(
    home: Path, target: str, seconds: float = SETTLE_S, *, within: Sequence[str] = ()
) -> list[float]:
    """Return the frames a second that each of the fast viewers gets."""
    with viewers(home, target, FAST_VIEWERS, seconds, within=within) as made:
        return [(len(seen) - 1) / seen[-1].arrived_s for seen in made.seen()]


def require_fresh(seen: list[Seen]) -> None:
    """After the first 5 s no picture may have more to wait for than the link carries in time."""
    settled = [each for each in seen if each.arrived_s >= SETTLE_S]
    longest_s = max(link_s(seen, each) for each in settled)
    ages_s = sorted(each.age_s for each in settled)
    shown_s = max(after.arrived_s - before.captured_s for before, after in pairwise(settled))
    print(
        f"slow: {len(settled)} frames, age mean {sum(ages_s) / len(ages_s):.3f} s, "
        f"max {ages_s[-1]:.3f} s, by the link at most {longest_s:.3f} s, "
        f"on the screen before the next one came {shown_s:.3f} s, "
        f"widths {sorted({each.width for each in settled})}, "
        f"{sum(each.size_bytes for each in settled) / (WATCHED_S - SETTLE_S):.0f} bytes/s"
    )
    assert longest_s <= LONGEST_LINK_S


def link_s(seen: list[Seen], shown: Seen) -> float:
    """Return how long the link takes for a picture and all that had not come at its capture."""
    waits_s = 0.0
    for each in seen:
        if shown.captured_s < each.arrived_s < shown.arrived_s:
            waits_s += min(each.size_bytes / SLOW_BYTES_PER_S, each.arrived_s - shown.captured_s)
    return waits_s + shown.size_bytes / SLOW_BYTES_PER_S


def report_rates(alone: list[float], fast: list[float]) -> None:
    print(f"fast: least {min(fast):.2f} fps beside the slow one, {min(alone):.2f} without")
