"""Carries out requests of pages: reads a request, calls its handler, writes the answer."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from usbshare.base import errors
from usbshare.base.errors import InvalidArgumentError, LimitError, UsbshareError, WrongStateError
from usbshare.base.watched_task import cancel_all
from usbshare.client.serial.link_state import LinkLostError
from usbshare.page.v1 import page_pb2 as pb
from usbshare.panel.api import json_text
from usbshare.panel.api.failures import failure
from usbshare.panel.socket import Page
from usbshare.rpc.wire_time import duration
from usbshare.serial.v1 import serial_pb2

log = logging.getLogger(__name__)

# For one page, including answers that wait.
MOST_AT_ONCE = 64
MOST_URGENT = 64
END_S = 2.0
# These and their answers overtake everything, as do calls that stop a job.
URGENT = frozenset({"stop", "end_jog", "cancel_motion"})
_JOB_STOPS = frozenset({"hold", "cancel", "hand_over"})

# Gets the page, the request's own message, and its number; returns the answer.
Handler = Callable[[Page, Any, int], Awaitable[pb.Answer]]


class PageRequests:
    """All requests of all pages; each runs to its end, even if its page is closed.

    So a stop is carried out after its page is closed.
    """

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self._handlers = handlers
        self._running: dict[asyncio.Task[None], tuple[Page, bool]] = {}
        self._counts: dict[tuple[int, bool], int] = {}
        self._is_ending = False

    def received(self, page: Page, frame: str) -> None:
        """Begin a request; never blocks."""
        began = time.monotonic()
        try:
            request = json_text.request(frame)
        except InvalidArgumentError as error:
            self._reject(page, json_text.request_id(frame), error, began)
            return
        is_urgent = _is_urgent(request)
        try:
            handler = self._handler_of(page, request, is_urgent=is_urgent)
        except UsbshareError as error:
            self._reject(page, request.id, error, began)
        else:
            self._begin(page, request, handler, began, is_urgent=is_urgent)

    def end(self) -> None:
        """Accept only stops from now on."""
        self._is_ending = True

    async def close(self) -> None:
        """Give running requests a moment to end."""
        if self._running:
            await asyncio.wait(list(self._running), timeout=END_S)
        await cancel_all(*self._running)

    def _handler_of(self, page: Page, request: pb.Request, *, is_urgent: bool) -> Handler:
        action = request.WhichOneof("action") or ""
        if not action:
            raise InvalidArgumentError(
                "this panel does not know the action of the request: reload the page"
            )
        if (handler := self._handlers.get(action)) is None:
            raise errors.NotSupportedError(
                f"this panel does not support {action!r}: reload the page"
            )
        if self._is_ending and not _stops(request):
            raise WrongStateError("the panel is stopping")
        if self._is_full(page, is_urgent=is_urgent):
            raise LimitError("too many requests of this page are unanswered")
        return handler

    def _begin(
        self, page: Page, request: pb.Request, handler: Handler, began: float, *, is_urgent: bool
    ) -> None:
        work = self._carry_out(page, request, handler, began, is_urgent=is_urgent)
        task = asyncio.create_task(work, name=f"request {request.WhichOneof('action')}")
        counted = (id(page), is_urgent)
        self._counts[counted] = self._counts.get(counted, 0) + 1
        self._running[task] = (page, is_urgent)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        page, is_urgent = self._running.pop(task)
        counted = (id(page), is_urgent)
        self._counts[counted] -= 1
        if not self._counts[counted]:
            del self._counts[counted]

    def _is_full(self, page: Page, *, is_urgent: bool) -> bool:
        running = self._counts.get((id(page), is_urgent), 0)
        if is_urgent:
            return running >= MOST_URGENT
        return running + page.outbox.answers >= MOST_AT_ONCE

    async def _carry_out(
        self, page: Page, request: pb.Request, handler: Handler, began: float, *, is_urgent: bool
    ) -> None:
        action = request.WhichOneof("action") or ""
        try:
            answer = await handler(page, getattr(request, action), request.id)
        except (UsbshareError, LinkLostError) as error:
            answer = _failed(error)
        except Exception:
            log.exception("could not carry out %s", action)
            answer = _failed(UsbshareError("internal error of the panel: see its log"))
        self._answer(page, request.id, answer, began, urgent=is_urgent)

    @staticmethod
    def _answer(
        page: Page, request_id: int, answer: pb.Answer, began: float, *, urgent: bool
    ) -> None:
        if request_id:
            page.outbox.answer(_frame(request_id, answer, began), is_urgent=urgent)

    def _reject(self, page: Page, request_id: int, error: UsbshareError, began: float) -> None:
        """Answer a rejected request; if there are too many, only the latest such answer is kept."""
        answer = _failed(error)
        if self._is_full(page, is_urgent=False):
            page.outbox.state("too many", _frame(request_id, answer, began))
        else:
            self._answer(page, request_id, answer, began, urgent=False)


def _frame(request_id: int, answer: pb.Answer, began: float) -> str:
    answer.request_id = request_id
    answer.gateway_time.CopyFrom(duration(time.monotonic() - began))
    return json_text.text(pb.Event(answer=answer))


def _is_urgent(request: pb.Request) -> bool:
    action = request.WhichOneof("action")
    return action in URGENT or (
        action == "job_call" and request.job_call.WhichOneof("call") in _JOB_STOPS
    )


def _stops(request: pb.Request) -> bool:
    """Return whether a request ends motion; a resume is as urgent, but lets a machine move."""
    return _is_urgent(request) and request.stop.action != serial_pb2.STOP_ACTION_RESUME


def _failed(error: UsbshareError | LinkLostError) -> pb.Answer:
    return pb.Answer(failure=failure(error))
