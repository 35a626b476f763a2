"""A client that stops a port by calls, as `bridge` does: with its connection open in advance."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from usbshare.rpc.grpc_environment import prepare_grpc

prepare_grpc()  # the same poller as ours

from usbshare.base.event_loop import run, settle_garbage  # noqa: E402
from usbshare.client.serial.client import SerialClient  # noqa: E402
from usbshare.client.serial.stop_report import SeenHold, StopReport  # noqa: E402
from usbshare.line.profiles import StopAction  # noqa: E402
from usbshare.rpc.channel import parse_target  # noqa: E402
from usbshare.rpc.tls import ClientBundle  # noqa: E402

Heard = tuple[int, int]


def hold_again_and_again(
    target: str, port_id: str, bundle: Path, gaps_s: Iterable[float], hear: Callable[[], Heard]
) -> list[tuple[int, Heard]]:
    """Hold after each gap; returns the moments before the calls (ns), and what was heard then."""
    return run(_hold(target, port_id, bundle, gaps_s, hear, _leave_held))


def hold_and_resume(
    target: str, port_id: str, bundle: Path, gaps_s: Iterable[float], hear: Callable[[], Heard]
) -> list[tuple[int, Heard]]:
    """Do the same, and resume after each hold: the lines of a job wait while it is held."""
    return run(_hold(target, port_id, bundle, gaps_s, hear, _resume))


async def _leave_held(client: SerialClient, port_id: str, held: StopReport) -> None:
    """Do nothing: nothing of the host's waits for a resume."""
    del client, port_id, held


async def _resume(client: SerialClient, port_id: str, held: StopReport) -> None:
    seen = SeenHold(held.epoch, held.hold_number)
    await client.stop(port_id, StopAction.RESUME, "bench", seen=seen)


async def _hold(
    target: str,
    port_id: str,
    bundle: Path,
    gaps_s: Iterable[float],
    hear: Callable[[], Heard],
    go_on: Callable[[SerialClient, str, StopReport], Awaitable[None]],
) -> list[tuple[int, Heard]]:
    client = SerialClient(parse_target(target), ClientBundle.load(bundle))
    found: list[tuple[int, Heard]] = []
    try:
        await client.list_ports()
        settle_garbage()
        for gap_s in gaps_s:
            await asyncio.sleep(gap_s)
            called = time.monotonic_ns()
            held = await client.stop(port_id, StopAction.HOLD, "bench")
            found.append((called, hear()))
            await go_on(client, port_id, held)
    finally:
        await client.close()
    return found
