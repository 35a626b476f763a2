"""Many viewers in a separate process, so that it can be killed.

`python -m fakes.camera_crowd TARGET BUNDLE` reads a number and opens so many streams, each of which
acknowledges its frames; when each has had one, it says `watching N`. `leave` cancels them and says
`left`; `seen` is answered by how many frames they have had together.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from usbshare.rpc.grpc_environment import prepare_grpc

prepare_grpc()

import grpc  # noqa: E402

from usbshare.camera.v1 import camera_pb2 as pb  # noqa: E402
from usbshare.camera.v1.camera_pb2_grpc import CameraServiceStub  # noqa: E402
from usbshare.rpc.channel import open_channel, parse_target  # noqa: E402
from usbshare.rpc.tls import ClientBundle  # noqa: E402

STREAMS_PER_CHANNEL = 25


class Crowd:
    """The viewers, as a test sees them."""

    def __init__(self, target: str, home: Path) -> None:
        bundle = home / "config/usbshare/client.pem"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "fakes.camera_crowd", target, str(bundle)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )

    def come(self, count: int) -> None:
        """Return when so many more watch."""
        assert self._ask(str(count)) == f"watching {count}"

    def seen(self) -> int:
        """Return how many frames they have had together."""
        return int(self._ask("seen"))

    def leave(self) -> None:
        """Return when all have closed their streams."""
        assert self._ask("leave") == "left"

    def die(self) -> None:
        """Disappear without closing."""
        self._process.kill()
        self._process.communicate()

    def _ask(self, line: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()


@contextmanager
def crowd(target: str, home: Path) -> Iterator[Crowd]:
    """Run a crowd whose certificate is in a home; it is dead at the end."""
    made = Crowd(target, home)
    try:
        yield made
    finally:
        made.die()


class _Viewers:
    """The streams that are open now."""

    def __init__(self, target: str, bundle: Path) -> None:
        self._target = parse_target(target)
        self._bundle = ClientBundle.load(bundle)
        self._channels: list[grpc.aio.Channel] = []
        self._watching: list[asyncio.Task[None]] = []
        self.seen = 0

    async def come(self, count: int) -> None:
        """Open streams, until each has had a frame."""
        started = [asyncio.Event() for _ in range(count)]
        for number, event in enumerate(started):
            if number % STREAMS_PER_CHANNEL == 0:
                self._channels.append(open_channel(self._target, self._bundle))
            watching = self._watch(CameraServiceStub(self._channels[-1]), event)
            self._watching.append(asyncio.create_task(watching))
        await asyncio.gather(*(event.wait() for event in started))

    async def leave(self) -> None:
        """End every stream."""
        for task in self._watching:
            task.cancel()
        await asyncio.gather(*self._watching, return_exceptions=True)
        await asyncio.gather(*(channel.close() for channel in self._channels))
        self._watching.clear()
        self._channels.clear()

    async def _watch(self, stub: Any, started: asyncio.Event) -> None:
        call = stub.Watch()
        await call.write(pb.WatchRequest(open=pb.Open(client_name="crowd")))
        with suppress(asyncio.InvalidStateError, grpc.aio.AioRpcError):
            while (response := await call.read()) is not grpc.aio.EOF:
                if response.HasField("frame"):
                    started.set()
                    self.seen += 1
                    acknowledge = pb.Acknowledge(sequence=response.frame.sequence)
                    await call.write(pb.WatchRequest(acknowledge=acknowledge))


async def _main(target: str, bundle: str) -> None:
    viewers = _Viewers(target, Path(bundle))
    while line := (await asyncio.to_thread(sys.stdin.readline)).strip():
        if line == "leave":
            await viewers.leave()
            print("left", flush=True)
        elif line == "seen":
            print(viewers.seen, flush=True)
        else:
            await viewers.come(int(line))
            print(f"watching {line}", flush=True)


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], sys.argv[2]))
