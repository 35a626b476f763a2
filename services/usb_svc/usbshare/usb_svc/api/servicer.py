"""The USB service's RPCs: unpack, one call, pack."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc

from usbshare.audit.recorder import Audit
from usbshare.authorization.gate import Gate
from usbshare.authorization.rights import Resource, ResourceKind, Right
from usbshare.base.waits import first_of
from usbshare.base.watched_task import cancel_all
from usbshare.rpc.first_message import first_message
from usbshare.rpc.identity import Identity
from usbshare.usb.v1 import usb_pb2 as pb
from usbshare.usb.v1.usb_pb2_grpc import UsbServiceServicer
from usbshare.usb_svc.api.attach_stream import AttachStream
from usbshare.usb_svc.api.convert import device_message
from usbshare.usb_svc.export.lending import Lending, Loan
from usbshare.usb_svc.export.totals import Totals

SERVICE_NAME = "usbshare.usb.v1.UsbService"
Context = grpc.aio.ServicerContext[Any, Any]
_MOST_NAME = 64


class UsbServicer(UsbServiceServicer):
    """Maps RPCs to lending."""

    def __init__(
        self, lending: Lending, gate: Gate, audit: Audit, link_timeout_s: float, totals: Totals
    ) -> None:
        self._lending = lending
        self._totals = totals
        self._gate = gate
        self._audit = audit
        self._link_timeout_s = link_timeout_s
        self._ending = asyncio.Event()

    async def close(self) -> None:
        """End every stream, as a service that stops does."""
        self._ending.set()

    async def ListDevices(
        self, request: pb.ListDevicesRequest, context: Context
    ) -> pb.ListDevicesResponse:
        """List every device that the caller may see."""
        return pb.ListDevicesResponse(devices=self._visible(self._gate.caller(context)))

    async def WatchDevices(
        self, request: pb.WatchDevicesRequest, context: Context
    ) -> AsyncIterator[pb.WatchDevicesResponse]:
        """Stream the list, at once and after each change."""
        caller = self._gate.caller(context)
        before: list[pb.Device] | None = None
        while not self._ending.is_set():
            news = asyncio.create_task(self._lending.news(), name="news of devices")
            try:
                if (devices := self._visible(caller)) != before:
                    yield pb.WatchDevicesResponse(devices=devices)
                    before = devices
                await first_of(news, self._ending)
            finally:
                await cancel_all(news)

    async def Attach(  # type: ignore[override]  # the stub knows only generators
        self, request_iterator: AsyncIterator[pb.AttachRequest], context: Context
    ) -> None:
        """Lend a device for the time of the stream."""
        asked = (await first_message(context, "open")).open
        caller, is_attached = self._gate.caller(context), False
        try:
            async with self._lent(asked.device_id, caller) as loan:
                is_attached = True
                self._totals.attached()
                await self._serve(loan, asked, caller, context)
        except BaseException as error:
            if is_attached:
                self._totals.ended(error)
            elif isinstance(error, Exception):
                self._totals.refused(error)
            raise
        self._totals.ended(None)

    @asynccontextmanager
    async def _lent(self, device_id: str, caller: Identity) -> AsyncIterator[Loan]:
        resource = Resource(ResourceKind.DEVICE, device_id)
        self._gate.require(caller, Right.VIEW, resource)
        async with (
            self._gate.permit(caller, Right.CONTROL, resource, arms=True),
            self._lending.lend(device_id, caller.name) as loan,
        ):
            yield loan

    async def _serve(
        self, loan: Loan, asked: pb.OpenDevice, caller: Identity, context: Context
    ) -> None:
        opened = pb.DeviceOpened(
            device=device_message(loan.device),
            devid=loan.device.device.devid,
            link_timeout_ms=round(self._link_timeout_s * 1000),
        )
        await context.write(pb.AttachResponse(opened=opened))
        timeout_s = self._link_timeout_s
        stream = AttachStream(loan, context.read, context.write, timeout_s, self._totals)
        client, began_at = asked.client_name[:_MOST_NAME], time.monotonic()
        self._note("usb device attached", caller, asked.device_id, client=client)
        try:
            await stream.serve(self._ending)
        finally:
            self._note(
                "usb device freed",
                caller,
                asked.device_id,
                client=client,
                seconds=round(time.monotonic() - began_at, 3),
                bytes=stream.passed_bytes,
            )

    def _visible(self, caller: Identity) -> list[pb.Device]:
        devices = {each.id: each for each in self._lending.devices}
        seen = self._gate.visible(caller, ResourceKind.DEVICE, devices)
        return [device_message(devices[each]) for each in seen]

    def _note(self, event: str, caller: Identity, device_id: str, **fields: object) -> None:
        self._audit.note(
            event, who=caller.name, address=caller.address, port="", device=device_id, **fields
        )
