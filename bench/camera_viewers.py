"""Viewers of one camera in a separate process, using our RPCs or MJPEG over HTTP.

`python -m bench.camera_viewers TARGET HTTPS_PORT SITE` reads lines `WAY COUNT SECONDS`; WAY is a
camera's id or `http`. It answers `begin` when every viewer has been served for a while, and then
one line of JSON: what was seen between the two.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from usbshare.rpc.grpc_environment import prepare_grpc

prepare_grpc()  # the same poller as ours

import aiohttp  # noqa: E402
import cv2  # noqa: E402
import grpc  # noqa: E402
import numpy as np  # noqa: E402

from usbshare.base.event_loop import run, settle_garbage  # noqa: E402
from usbshare.camera.v1 import camera_pb2 as pb  # noqa: E402
from usbshare.camera.v1.camera_pb2_grpc import CameraServiceStub  # noqa: E402
from usbshare.camera_svc.sim.bar_code import read_stamp  # noqa: E402
from usbshare.rpc.channel import VIDEO_KEEPALIVE, open_channel, parse_target  # noqa: E402
from usbshare.rpc.tls import ClientBundle  # noqa: E402

MOST_FRAME_BYTES = 16 * 1024 * 1024
SETTLE_S = 2.0
JOIN_TIMEOUT_S = 30.0
# Every so many frames one is kept, to be decoded when the measurement is over.
SAMPLE_EVERY = 97

# Arrival and capture, Unix seconds, the JPEG, and the frames before it that its window had not
# room for.
Seen = tuple[float, float, bytes, int]


@dataclass(slots=True)
class Count:
    """What one viewer saw while it counted."""

    is_counting: bool = False
    has_begun: asyncio.Event = field(default_factory=asyncio.Event)
    frames: int = 0
    dropped: int = 0
    sum_bytes: int = 0
    ages_ms: list[float] = field(default_factory=list)
    samples: list[tuple[float, bytes]] = field(default_factory=list)

    async def follow(self, pictures: AsyncGenerator[Seen, None]) -> None:
        """Count what comes, for ever."""
        async with aclosing(pictures):
            async for arrived_s, captured_s, data, dropped in pictures:
                self.has_begun.set()
                if self.is_counting:
                    self._add(arrived_s, captured_s, data)
                    self.dropped += dropped
        raise RuntimeError("a viewer's stream ended")

    def _add(self, arrived_s: float, captured_s: float, data: bytes) -> None:
        self.frames += 1
        self.sum_bytes += len(data)
        self.ages_ms.append((arrived_s - captured_s) * 1000)
        if self.frames % SAMPLE_EVERY == 1:
            self.samples.append((captured_s, data))

    def stamp_errors_ms(self) -> list[float]:
        """Return by how much the clock drawn into a picture differs from its capture time."""
        return [_drawn_s(data) * 1000 - captured_s * 1000 for captured_s, data in self.samples]


@dataclass(frozen=True, slots=True)
class Place:
    """Where the services are, and the folder of the site that they trust."""

    target: str
    https_port: int
    folder: Path


async def by_rpc(place: Place, camera_id: str) -> AsyncGenerator[Seen, None]:
    """Watch by a plain client that acknowledges all."""
    bundle = ClientBundle.load(place.folder / "client.pem")
    channel = open_channel(
        parse_target(place.target),
        bundle,
        keepalive=VIDEO_KEEPALIVE,
        most_message_bytes=MOST_FRAME_BYTES,
    )
    try:
        call: Any = CameraServiceStub(channel).Watch()
        # Fixed, so that a busy machine shows as lost frames and not as smaller pictures.
        opening = pb.Open(camera_id=camera_id, client_name="bench", view=pb.View(is_fixed=True))
        await call.write(pb.WatchRequest(open=opening))
        while (response := await call.read()) is not grpc.aio.EOF:
            arrived_s = time.time()
            if response.WhichOneof("event") not in {"opened", "frame"}:
                continue
            frame = response.frame  # of `opened` there is none, and its sequence is 0
            acknowledge = pb.Acknowledge(sequence=frame.sequence)
            await call.write(pb.WatchRequest(acknowledge=acknowledge))
            if frame.sequence:
                captured_s = frame.capture_time.ToNanoseconds() / 1e9
                yield arrived_s, captured_s, frame.data, response.delivery.dropped_frames
    finally:
        await channel.close()


async def by_http(place: Place) -> AsyncGenerator[Seen, None]:
    """Watch a stream of JPEG parts; TLS on both sides, as ours."""
    trust = ssl.create_default_context(cafile=str(place.folder / "site/ca.crt"))
    trust.load_cert_chain(place.folder / "client.pem")
    url = f"https://127.0.0.1:{place.https_port}/stream"
    timeout = aiohttp.ClientTimeout(total=None)
    async with (
        aiohttp.ClientSession(timeout=timeout, read_bufsize=1 << 20) as session,
        session.get(url, ssl=trust) as response,
    ):
        while True:
            head = await response.content.readuntil(b"\r\n\r\n")
            fields = dict(line.split(b": ") for line in head.strip().split(b"\r\n")[1:])
            data = await response.content.readexactly(int(fields[b"Content-Length"]))
            yield time.time(), float(fields[b"X-Capture-Time"]), data, 0


async def watch(place: Place, way: str, count: int, seconds: float) -> str:
    """Watch with so many viewers, say `begin` and return what they saw from then on."""
    counts = [Count() for _ in range(count)]
    pictures = [by_http(place) if way == "http" else by_rpc(place, way) for _ in counts]
    tasks = [
        asyncio.create_task(each.follow(shown))
        for each, shown in zip(counts, pictures, strict=True)
    ]
    try:
        async with asyncio.timeout(JOIN_TIMEOUT_S):
            await asyncio.gather(*(each.has_begun.wait() for each in counts))
        settle_garbage()
        await asyncio.sleep(SETTLE_S)
        took_s = await _count(counts, seconds)
    finally:
        failed = [task.exception() for task in tasks if task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    if failed:
        raise RuntimeError(f"{len(failed)} viewers failed: {failed[0]}")
    return _answer(counts, took_s)


async def _count(counts: list[Count], seconds: float) -> float:
    print("begin", flush=True)
    start = time.monotonic()
    for each in counts:
        each.is_counting = True
    await asyncio.sleep(seconds)
    for each in counts:
        each.is_counting = False
    print("end", flush=True)
    return time.monotonic() - start


def _answer(counts: list[Count], took_s: float) -> str:
    frames = sum(each.frames for each in counts)
    return json.dumps(
        {
            "fps": [each.frames / took_s for each in counts],
            "ages_ms": [round(age, 3) for each in counts for age in each.ages_ms],
            "frames": frames,
            "dropped": sum(each.dropped for each in counts),
            "frame_bytes": sum(each.sum_bytes for each in counts) / max(1, frames),
            "stamp_errors_ms": [error for each in counts for error in each.stamp_errors_ms()],
        }
    )


def _drawn_s(data: bytes) -> float:
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if pixels is None:
        raise ValueError("a frame is no JPEG")
    return read_stamp(pixels.astype(np.uint8, copy=False))[1] / 1000


async def main(place: Place) -> None:
    """Do as the lines say, to the end of the input."""
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        way, count, seconds = line.split()
        print(await watch(place, way, int(count), float(seconds)), flush=True)


if __name__ == "__main__":
    run(main(Place(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))))
