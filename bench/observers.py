"""Sessions that observe a port and read all of the device's bytes, in a separate process.

`python -m bench.observers TARGET PORT BUNDLE COUNT`: says `ready` once all of them stand, and for
each line of stdin how many bytes they have heard together.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from usbshare.rpc.grpc_environment import prepare_grpc

prepare_grpc()  # the same poller as ours

import grpc  # noqa: E402

from usbshare.base.event_loop import run  # noqa: E402
from usbshare.rpc.channel import open_channel, parse_target  # noqa: E402
from usbshare.rpc.tls import ClientBundle  # noqa: E402
from usbshare.serial.v1 import serial_pb2 as pb  # noqa: E402
from usbshare.serial.v1.serial_pb2_grpc import SerialServiceStub  # noqa: E402

Call = grpc.aio.StreamStreamCall[pb.SessionRequest, pb.SessionResponse]


class Observers:
    """Observing sessions, each on its own connection."""

    def __init__(self, target: str, port_id: str, bundle: Path) -> None:
        self._target = parse_target(target)
        self._port_id = port_id
        self._bundle = ClientBundle.load(bundle)
        self.heard_bytes = 0

    async def open(self) -> Call:
        """Begin a session; return once it is established."""
        channel = open_channel(self._target, self._bundle)
        call: Call = SerialServiceStub(channel).Session()
        opening = pb.Open(
            port_id=self._port_id, mode=pb.SESSION_MODE_OBSERVE, client_name="bench observer"
        )
        await call.write(pb.SessionRequest(open=opening))
        await call.read()
        return call

    async def listen(self, call: Call) -> None:
        """Read for ever."""
        while isinstance(response := await call.read(), pb.SessionResponse):
            self.heard_bytes += len(response.data.data)


async def observe(target: str, port_id: str, bundle: str, count: str) -> None:
    """Observe until stdin ends."""
    os.nice(19)  # they stand for other computers: what they compute is not to delay a stop
    observers = Observers(target, port_id, Path(bundle))
    calls = [await observers.open() for _ in range(int(count))]
    listening = [asyncio.create_task(observers.listen(call)) for call in calls]
    print("ready", flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        print(observers.heard_bytes, flush=True)
    for task in listening:
        task.cancel()


if __name__ == "__main__":
    run(observe(*sys.argv[1:]))
