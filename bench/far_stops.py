"""Holds a port from a separate process, which can be in another network namespace.

`python -m bench.far_stops TARGET PORT BUNDLE`: says `ready`; for each line of stdin, a gap in
seconds, it waits, holds, and says when the call began and when it was answered (CLOCK_MONOTONIC,
ns).
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from usbshare.rpc.grpc_environment import prepare_grpc

prepare_grpc()  # the same poller as ours

from usbshare.base.event_loop import run, settle_garbage  # noqa: E402
from usbshare.client.serial.client import SerialClient  # noqa: E402
from usbshare.line.profiles import StopAction  # noqa: E402
from usbshare.rpc.channel import parse_target  # noqa: E402
from usbshare.rpc.tls import ClientBundle  # noqa: E402


async def main(target: str, port_id: str, bundle: str) -> None:
    """Hold until stdin ends."""
    client = SerialClient(parse_target(target), ClientBundle.load(Path(bundle)))
    try:
        await client.list_ports()
        settle_garbage()
        print("ready", flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            await asyncio.sleep(float(line))
            called = time.monotonic_ns()
            await client.stop(port_id, StopAction.HOLD, "bench")
            print(called, time.monotonic_ns(), flush=True)
    finally:
        await client.close()


if __name__ == "__main__":
    run(main(*sys.argv[1:]))
