"""Viewers of one camera in a separate process, which adapt to a slow link or do not.

`python -m bench.link_viewers TARGET BUNDLE` reads lines `COUNT yields|insists SECONDS`. It says
`begin` when every viewer has had time to settle, and SECONDS later one line of JSON: what they saw
between the two.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from usbshare.rpc.grpc_environment import prepare_grpc

prepare_grpc()  # the same poller as ours

import grpc  # noqa: E402

from usbshare.base.event_loop import run, settle_garbage  # noqa: E402
from usbshare.camera.v1 import camera_pb2 as pb  # noqa: E402
from usbshare.camera.v1.camera_pb2_grpc import CameraServiceStub  # noqa: E402
from usbshare.rpc.channel import VIDEO_KEEPALIVE, open_channel, parse_target  # noqa: E402
from usbshare.rpc.tls import ClientBundle  # noqa: E402

MOST_FRAME_BYTES = 16 * 1024 * 1024
JOIN_TIMEOUT_S = 30.0
SETTLE_S = 5.0
YIELDS, INSISTS = "yields", "insists"


@dataclass(slots=True)
class Viewer:
    """One viewer, and what it has seen: age in ms, width, bytes."""

    target: str
    bundle: ClientBundle
    insists: bool
    has_begun: asyncio.Event = field(default_factory=asyncio.Event)
    frames: list[tuple[float, int, int]] = field(default_factory=list)

    async def watch(self) -> None:
        """Acknowledge every frame, for ever."""
        channel = open_channel(
            parse_target(self.target),
            self.bundle,
            keepalive=VIDEO_KEEPALIVE,
            most_message_bytes=MOST_FRAME_BYTES,
        )
        try:
            await self._follow(CameraServiceStub(channel).Watch())
        finally:
            await channel.close()

    async def _follow(self, call: Any) -> None:
        opening = pb.Open(client_name="bench", view=pb.View(is_fixed=self.insists))
        await call.write(pb.WatchRequest(open=opening))
        while (response := await call.read()) is not grpc.aio.EOF:
            now, frame = time.time(), response.frame
            if response.WhichOneof("event") not in {"opened", "frame"}:
                continue
            acknowledge = pb.Acknowledge(sequence=frame.sequence)
            await call.write(pb.WatchRequest(acknowledge=acknowledge))
            if frame.sequence:
                age_ms = (now - frame.capture_time.ToNanoseconds() / 1e9) * 1000
                self.frames.append((round(age_ms, 2), frame.width_px, response.ByteSize()))
                self.has_begun.set()
        raise RuntimeError("a viewer's stream ended")


async def watch_all(viewers: list[Viewer], seconds: float) -> str:
    """Watch, and return what was seen in those seconds after the viewers have settled."""
    tasks = [asyncio.create_task(each.watch()) for each in viewers]
    try:
        async with asyncio.timeout(JOIN_TIMEOUT_S):
            await asyncio.gather(*(each.has_begun.wait() for each in viewers))
        settle_garbage()
        await asyncio.sleep(SETTLE_S)
        return await _count(viewers, seconds)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _count(viewers: list[Viewer], seconds: float) -> str:
    for each in viewers:
        each.frames.clear()
    print("begin", flush=True)
    start = time.monotonic()
    await asyncio.sleep(seconds)
    took_s = time.monotonic() - start
    seen = [frame for each in viewers for frame in each.frames]
    return json.dumps({"fps": [len(each.frames) / took_s for each in viewers], "frames": seen})


async def main(target: str, bundle: ClientBundle) -> None:
    """Do as the lines say, to the end of the input."""
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        count, manner, seconds = line.split()
        viewers = [Viewer(target, bundle, manner == INSISTS) for _ in range(int(count))]
        print(await watch_all(viewers, float(seconds)), flush=True)


if __name__ == "__main__":
    run(main(sys.argv[1], ClientBundle.load(Path(sys.argv[2]))))
