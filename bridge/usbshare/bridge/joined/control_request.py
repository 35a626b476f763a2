"""Asks whoever has control of a port to hand it over, while a bridge waits for it."""

from __future__ import annotations

import time
from collections.abc import Callable

from usbshare.base.errors import UsbshareError
from usbshare.bridge.joined.report import Reporter
from usbshare.bridge.joined.virtual_com_port import client_name
from usbshare.client.serial.client import SerialClient
from usbshare.rpc.channel import Target
from usbshare.rpc.tls import ClientBundle

AGAIN_S = 60.0


class Asking:
    """Asks at once, then once a minute: whoever works must not be asked at each attempt."""

    def __init__(self, reporter: Reporter, clock: Callable[[], float] = time.monotonic) -> None:
        self._reporter = reporter
        self._clock = clock
        self._asked_at = float("-inf")

    async def ask(self, where: Target, trust: ClientBundle | None, port_id: str) -> None:
        """Ask, unless that was just done; that it cannot be is told, and nothing else."""
        if self._clock() - self._asked_at < AGAIN_S:
            return
        self._asked_at = self._clock()
        client = SerialClient(where, trust)
        try:
            told = await client.request_control(port_id, client_name("bridge"))
        except UsbshareError as error:
            self._reporter.event("not_asked", f"the holder was not asked: {error}")
        else:
            if told:
                self._reporter.event("asking", "the holder was asked to hand it over")
        finally:
            await client.close()
