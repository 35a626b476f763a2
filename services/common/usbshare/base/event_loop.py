"""Runs an event loop with low latency."""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from usbshare.base.daemon_executor import DaemonExecutor
from usbshare.base.standard_streams import ensure_standard_streams

T = TypeVar("T")


def settle_garbage() -> None:
    """Take what start-up made out of later collections, which would hold the loop for 30 ms."""
    gc.collect()
    gc.freeze()


# Another Python thread that computes must hand the interpreter over within 0.5 ms, not 5.
SWITCH_INTERVAL_S = 0.0005


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end, on uvloop where that is installed.

    Blocking calls that it began and does not wait for are left behind, whatever they wait for.
    """
    ensure_standard_streams()  # libuv aborts without
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.get_loop().set_default_executor(DaemonExecutor())
        return runner.run(main)


def on_stop_signals(callback: Callable[[], object]) -> None:
    """Call back on the running loop at SIGINT and SIGTERM."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, callback)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(callback))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if importlib.util.find_spec("uvloop") is None:
        return None
    import uvloop  # noqa: PLC0415 - an optional extra

    return uvloop.new_event_loop
