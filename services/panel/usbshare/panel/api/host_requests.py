"""Requests about hosts: unpack, one call, pack."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from usbshare.base.errors import (
    ConnectionRefusedByPeerError,
    InvalidArgumentError,
    PermissionDeniedError,
)
from usbshare.page.v1 import page_pb2 as pb
from usbshare.panel.api.pack_host import host_message
from usbshare.panel.api.requests import Handler
from usbshare.panel.api.serial_calls import SerialCalls
from usbshare.panel.hosts.fleet import Fleet
from usbshare.panel.socket import Page


def host_handlers(fleet: Fleet, save: Callable[[], Awaitable[None]]) -> Mapping[str, Handler]:
    """Return the handlers of requests about hosts; `save` stores the added hosts."""

    async def confirm(page: Page, asked: pb.Confirm, request_id: int) -> pb.Answer:
        if not (asked.code.isascii() and asked.code.isdigit()):
            raise InvalidArgumentError("the code must be the six digits from the authenticator app")
        host = fleet.followed(asked.host)
        if host.serial.place is None:
            raise ConnectionRefusedByPeerError(f"host {asked.host!r} has not answered yet")
        calls = SerialCalls(*host.serial.place)
        try:
            confirmed = await calls.confirm(asked.code)
        finally:
            await calls.close()
        host.serial.look_at_rights()
        return pb.Answer(confirm=confirmed)

    async def add_host(page: Page, asked: pb.AddHost, request_id: int) -> pb.Answer:
        require_local(page)
        host = fleet.add(asked.address)
        await save()
        return pb.Answer(host=host_message(fleet.view(host)))

    async def forget_host(page: Page, asked: pb.ForgetHost, request_id: int) -> pb.Answer:
        require_local(page)
        fleet.forget(asked.host)
        await save()
        return pb.Answer()

    return {"confirm": confirm, "add_host": add_host, "forget_host": forget_host}


def require_local(page: Page) -> None:
    """Raise PermissionDeniedError for a page of another computer."""
    if not page.is_local:
        raise PermissionDeniedError(
            "only a page on the panel's own computer may change that computer"
        )
