"""Keeps a device attached; attaches it again after a loss if the user asked for that."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable
from datetime import UTC, datetime

from usbshare.base.backoff import Backoff
from usbshare.base.errors import UsbshareError
from usbshare.bridge.usb.attachment import Attached, DetachedHereError, attach
from usbshare.bridge.usb.layers import layer_of, with_layer
from usbshare.bridge.usb.records import OwnRecord, Record
from usbshare.bridge.usb.survey import Found
from usbshare.client.usb.client import UsbClient
from usbshare.rpc.tls import ClientBundle
from usbshare.usbip.vhci.attach import PlugPlaces


class Keeping:
    """One device, from the first attachment until somebody ends it."""

    def __init__(
        self,
        found: Found,
        bundle: ClientBundle | None,
        client_name: str,
        record: OwnRecord,
        tell: Callable[[str], None],
    ) -> None:
        self._found = found
        self._bundle = bundle
        self._client_name = client_name
        self._record = record
        self._tell = tell
        self._backoff = Backoff(random.random)
        self._was_attached = False
        self._told = ""

    async def run(self, *, keeps: bool) -> None:
        """Attach until it ends; raises why: UsbshareError. With `keeps`, again and again.

        A device that was never attached, or that a person detached here, is not tried again.
        """
        while True:
            try:
                await self._once()
            except UsbshareError as error:
                ends = not keeps or not self._was_attached or isinstance(error, DetachedHereError)
                if ends or layer_of(error) == "system":
                    raise
                self._note("waiting")
                if (text := with_layer(error)) != self._told:
                    self._told = text
                    self._tell(f"{text}; attaching again")
            await asyncio.sleep(self._backoff.next_s())

    async def _once(self) -> None:
        client = UsbClient(self._found.target, self._bundle)
        self._note("attaching")
        try:
            await attach(
                client,
                self._found.device.id,
                self._client_name,
                PlugPlaces.of_system(),
                self._attached,
            )
        finally:
            await client.close()

    def _attached(self, attached: Attached) -> None:
        self._was_attached, self._told = True, ""
        self._backoff.reset()
        self._note("attached", attached.port)
        device = attached.opened.device
        self._tell(f"attached {device.id} of {self._found.host}: {device.name}")

    def _note(self, state: str, port: int = -1) -> None:
        since = datetime.now(UTC).isoformat(timespec="seconds")
        device, host = self._found.device.id, self._found.host
        self._record.write(Record(device, host, os.getpid(), state, port, since))
