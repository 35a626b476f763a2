"""What a command says on stderr: warnings, and what it is at if that takes long."""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import click

from usbshare.base.event_loop import run
from usbshare.rpc.channel import Target

T = TypeVar("T")

SLOW_S = 1.0


def warn(text: str) -> None:
    """Show the user a message, on stderr if that accepts it."""
    with suppress(OSError):  # a full disk behind stderr must not stop anything
        for line in text.splitlines():
            click.echo(f"bridge: {line}", err=True)


@contextmanager
def told_if_slow(
    doing: str, tell: Callable[[str], None] = warn, after_s: float = SLOW_S
) -> Iterator[None]:
    """Report after a second that something is still being done; ends with the block."""
    timer = threading.Timer(after_s, tell, (doing,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def told_run(target: Target) -> Callable[[Coroutine[Any, Any, T]], T]:
    """Return what runs a call to a host, and reports if that takes long."""

    def told(call: Coroutine[Any, Any, T]) -> T:
        with told_if_slow(f"waiting for {target} to answer"):
            return run(call)

    return told
