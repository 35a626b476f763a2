"""Viewers in a process of their own: `python camera_viewers.py TARGET CLIENT_PEM COUNT SECONDS`.

They acknowledge every frame at once. Prints one line of JSON at the end, a list for each viewer:
of each frame its arrival since the viewer's first, its capture on the same scale (seconds), its
width and its bytes.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from fakes.processes import Process, environment
from usbshare.camera.v1 import camera_pb2 as pb
from usbshare.camera.v1.camera_pb2_grpc import CameraServiceStub
from usbshare.rpc.channel import VIDEO_KEEPALIVE, open_channel, parse_target
from usbshare.rpc.tls import ClientBundle

DEADLINE_S = 90.0


@dataclass(frozen=True, slots=True)
class Seen:
    """One frame at one viewer."""

    arrived_s: float
    captured_s: float
    width: int
    size_bytes: int

    @property
    def age_s(self) -> float:
        """How old it was when it came."""
        return self.arrived_s - self.captured_s


class Viewers:
    """The process, where and as it is started."""

    def __init__(
        self, home: Path, target: str, count: int, seconds: float, *, within: Sequence[str] = ()
    ) -> None:
        bundle = home / "config" / "usbshare" / "client.pem"
        words = [sys.executable, "-m", "fakes.camera_viewers", target, bundle, count, seconds]
        surroundings = {**environment(home), "PYTHONPATH": str(Path(__file__).parents[1])}
        self._process = Process([*within, *map(str, words)], surroundings)

    def seen(self) -> list[list[Seen]]:
        """Return what each viewer saw, once all have watched long enough."""
        told = self._process.wait_for(r"^\[\[.*\]\]$", DEADLINE_S)[0]
        return [[Seen(*each) for each in frames] for frames in json.loads(told)]

    def stop(self) -> None:
        """End the process, if it has not."""
        self._process.stop()


async def _watch(target: str, bundle: Path, seconds: float) -> list[tuple[float, ...]]:
    channel = open_channel(
        parse_target(target),
        ClientBundle.load(bundle),
        keepalive=VIDEO_KEEPALIVE,
        most_message_bytes=16 * 1024 * 1024,
    )
    found: list[tuple[float, ...]] = []
    try:
        call: Any = CameraServiceStub(channel).Watch()
        await call.write(pb.WatchRequest(open=pb.Open(client_name="viewer")))
        start: float | None = None
        while (response := await call.read()) is not grpc.aio.EOF:
            now, frame = time.time(), response.frame
            if response.WhichOneof("event") not in {"opened", "frame"}:
                continue
            acknowledge = pb.Acknowledge(sequence=frame.sequence)
            await call.write(pb.WatchRequest(acknowledge=acknowledge))
            if not frame.sequence:
                continue
            start = now if start is None else start
            captured = frame.capture_time.ToNanoseconds() / 1e9
            found.append((now - start, captured - start, frame.width_px, response.ByteSize()))
            if now - start >= seconds:
                return found
        raise RuntimeError("the stream ended")
    finally:
        await channel.close()


async def _watch_all(target: str, bundle: Path, count: int, seconds: float) -> None:
    every = [_watch(target, bundle, seconds) for _ in range(count)]
    print(json.dumps(await asyncio.gather(*every)), flush=True)


if __name__ == "__main__":
    asyncio.run(_watch_all(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])))
