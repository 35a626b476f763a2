"""A client that asks for ten times what it may have: `KIND SECONDS` on stdin, counts on stdout.

`requests`: calls, begun at ten times the rate; `messages`: heartbeats within a stream, likewise. It
runs at the least priority, since what it costs its own computer is not to be measured.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from usbshare.rpc.grpc_environment import prepare_grpc

prepare_grpc()  # the same poller as ours

import grpc  # noqa: E402

from usbshare.base.event_loop import run, settle_garbage  # noqa: E402
from usbshare.rpc.channel import open_channel, parse_target  # noqa: E402
from usbshare.rpc.tls import ClientBundle  # noqa: E402
from usbshare.serial.v1 import serial_pb2 as pb  # noqa: E402
from usbshare.serial.v1.serial_pb2_grpc import SerialServiceStub  # noqa: E402

TIMES = 10
CALL_TIMEOUT_S = 5.0
MOST_CALLS = 1000
SLICE_S = 0.01


async def _serve(target: str, bundle: Path, requests_per_s: float, messages_per_s: float) -> None:
    async with open_channel(parse_target(target), ClientBundle.load(bundle)) as channel:
        stub: Any = SerialServiceStub(channel)
        await stub.ListPorts(pb.ListPortsRequest(), timeout=CALL_TIMEOUT_S)
        settle_garbage()
        print("ready", flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            kind, seconds = line.split()
            print("begin", flush=True)
            if kind == "requests":
                counts = await _call(stub, TIMES * requests_per_s, float(seconds))
            else:
                counts = await _talk(stub, TIMES * messages_per_s, float(seconds))
            print(json.dumps(counts), flush=True)


async def _call(stub: Any, rate: float, seconds: float) -> dict[str, int]:
    counts: Counter[str] = Counter()
    waiting = 0

    async def call() -> None:
        nonlocal waiting
        try:
            await stub.ListPorts(pb.ListPortsRequest(), timeout=CALL_TIMEOUT_S)
            counts["done"] += 1
        except grpc.aio.AioRpcError as error:
            counts[error.code().name] += 1
        finally:
            waiting -= 1

    async with asyncio.TaskGroup() as calls:
        async for due in _ticks(rate, seconds):
            for _ in range(min(due, MOST_CALLS - waiting)):
                calls.create_task(call())
                waiting += 1
                counts["begun"] += 1
    return dict(counts)


async def _talk(stub: Any, rate: float, seconds: float) -> dict[str, int]:
    counts: Counter[str] = Counter()
    ticks = _ticks(rate, seconds)
    while await _talk_once(stub, ticks, counts):
        counts["sessions lost"] += 1
    return dict(counts)


async def _talk_once(stub: Any, ticks: AsyncIterator[int], counts: Counter[str]) -> bool:
    """Send within one session; return whether it ended early."""
    session = stub.Session()
    hearing = asyncio.create_task(_hear(session, counts), name="hear")
    try:
        opening = pb.Open(port_id="sink", mode=pb.SESSION_MODE_OBSERVE, client_name="greedy")
        await session.write(pb.SessionRequest(open=opening))
        async for due in ticks:
            await _beat(session, due, counts)
        return False
    except (asyncio.InvalidStateError, grpc.aio.AioRpcError):
        return True
    finally:
        session.cancel()
        hearing.cancel()
        await asyncio.gather(hearing, return_exceptions=True)


async def _beat(session: Any, due: int, counts: Counter[str]) -> None:
    until = time.monotonic() + SLICE_S
    for _ in range(due):
        counts["sent"] += 1
        await session.write(pb.SessionRequest(heartbeat=pb.Heartbeat(id=counts["sent"])))
        if time.monotonic() > until:
            return


async def _hear(session: Any, counts: Counter[str]) -> None:
    while await session.read() is not grpc.aio.EOF:
        counts["heard"] += 1


async def _ticks(rate: float, seconds: float) -> AsyncIterator[int]:
    """Give how many are due, again and again, until the time is over."""
    start = last = time.monotonic()
    while last - start < seconds:
        await asyncio.sleep(SLICE_S)
        now = time.monotonic()
        yield max(1, round((now - last) * rate))
        last = now


def main() -> None:
    """Serve the words on stdin."""
    os.nice(19)
    target, bundle, requests_per_s, messages_per_s = sys.argv[1:]
    run(_serve(target, Path(bundle), float(requests_per_s), float(messages_per_s)))


if __name__ == "__main__":
    main()
