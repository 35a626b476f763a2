"""Clients that watch the ports of a host, in a separate process.

`python -m bench.watchers TARGET BUNDLE COUNT PORT`: says `ready` once all have the ports that
there are, and for each line of stdin how many changes they have heard together. The port is one
whose session comes and goes, so that there is something to hear.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from usbshare.rpc.grpc_environment import prepare_grpc

prepare_grpc()  # the same poller as ours

import grpc  # noqa: E402

from usbshare.base.event_loop import run  # noqa: E402
from usbshare.rpc.channel import open_channel, parse_target  # noqa: E402
from usbshare.rpc.tls import ClientBundle  # noqa: E402
from usbshare.serial.v1 import serial_pb2 as pb  # noqa: E402
from usbshare.serial.v1.serial_pb2_grpc import SerialServiceStub  # noqa: E402

CHANGE_S = 0.05  # longer than what a service gathers: what is undone sooner is no news


class Watchers:
    """Watches, all on one connection."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = SerialServiceStub(channel)
        self.heard = 0

    async def watch(self, begun: asyncio.Event) -> None:
        """Watch for ever."""
        async for response in self._stub.WatchPorts(pb.WatchPortsRequest()):
            self.heard += response.change != pb.PORT_CHANGE_EXISTING
            begun.set()

    async def change(self, port_id: str) -> None:
        """Open and close a session again and again."""
        opening = pb.Open(port_id=port_id, mode=pb.SESSION_MODE_CONTROL, client_name="bench")
        while True:
            call: Any = self._stub.Session()
            await call.write(pb.SessionRequest(open=opening))
            await call.read()
            await asyncio.sleep(CHANGE_S)
            await call.write(pb.SessionRequest(close=pb.Close()))
            while await call.read() is not grpc.aio.EOF:
                continue
            await asyncio.sleep(CHANGE_S)


async def watch(target: str, bundle: str, count: str, port_id: str) -> None:
    """Watch until stdin ends."""
    async with open_channel(parse_target(target), ClientBundle.load(Path(bundle))) as channel:
        watchers, begun = Watchers(channel), [asyncio.Event() for _ in range(int(count))]
        tasks = [asyncio.create_task(watchers.watch(each)) for each in begun]
        for each in begun:
            await each.wait()
        tasks.append(asyncio.create_task(watchers.change(port_id)))
        print("ready", flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            print(watchers.heard, flush=True)
        for task in tasks:
            task.cancel()


if __name__ == "__main__":
    run(watch(*sys.argv[1:]))
