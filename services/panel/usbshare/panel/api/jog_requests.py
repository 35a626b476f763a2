"""Jogs under a finger: unpack, one call, pack."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from weakref import WeakKeyDictionary

from usbshare.base.errors import InvalidArgumentError, WrongStateError
from usbshare.page.v1 import page_pb2 as pb
from usbshare.panel.api.json_text import text
from usbshare.panel.api.pack_machine import machine_key
from usbshare.panel.api.requests import Handler
from usbshare.panel.api.stop_requests import key_of
from usbshare.panel.jog.jogs import RELEASED, Jog, Jogs
from usbshare.panel.jog.lease import Lease
from usbshare.panel.jog.path import Direction
from usbshare.panel.machines.acting import Acting
from usbshare.panel.machines.controls import Controls
from usbshare.panel.machines.gcode import JOG_CANCEL
from usbshare.panel.socket import Page


def jog_handlers(controls: Controls, jogs: Jogs, acting: Acting) -> Mapping[str, Handler]:
    """Return the handlers of jogs."""
    latest: WeakKeyDictionary[Page, int] = WeakKeyDictionary()

    async def jog(page: Page, asked: pb.Jog, request_id: int) -> pb.Answer:
        control = controls.of(key_of(asked.machine))
        direction = Direction(asked.x, asked.y, asked.z, asked.feed)
        made_at = _made_at(asked)
        running = jogs.of(control)
        if running is not None and running.lease.is_of(page, asked.lease):
            running.renew(direction, made_at)
            return pb.Answer()
        if not request_id or asked.lease <= latest.get(page, 0):
            raise WrongStateError("that jog has ended: press again")
        if page not in latest:
            page.on_closed(partial(jogs.end, page, None, "the page is gone"))
        latest[page] = asked.lease
        lease = Lease(page, asked.lease)
        if not lease.begin(asyncio.get_running_loop().time(), made_at):
            raise WrongStateError(f"{lease.why_ended}: press again")
        await jogs.jog(
            Jog(
                control,
                lease,
                direction,
                partial(acting.realtime, control.key, JOG_CANCEL),
            )
        )
        return pb.Answer()

    async def end_jog(page: Page, asked: pb.EndJog, request_id: int) -> pb.Answer:
        jogs.end(page, asked.lease, RELEASED)
        return pb.Answer()

    return {"jog": jog, "end_jog": end_jog}


def _made_at(asked: pb.Jog) -> float:
    if not asked.HasField("made_at"):
        raise InvalidArgumentError("jog.madeAt is missing: give the time by Alive.clock")
    return asked.made_at.seconds + asked.made_at.nanos * 1e-9


def tell_ended(jog: Jog) -> None:
    """Notify the page of a jog that it has ended."""
    page = jog.lease.page
    if not isinstance(page, Page):
        return
    reason = "" if jog.lease.why_ended == RELEASED else jog.lease.why_ended
    ended = pb.JogEnded(machine=machine_key(jog.control.key), lease=jog.lease.number, reason=reason)
    page.outbox.state(("jog", jog.lease.number), text(pb.Event(jog_ended=ended)))
