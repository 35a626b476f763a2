"""Keeps one view of a camera alive: connects, passes on what comes, and connects again."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from usbshare.base.backoff import Backoff
from usbshare.base.errors import (
    ConnectionRefusedByPeerError,
    PermissionDeniedError,
    UsbshareError,
)
from usbshare.base.waits import set_within
from usbshare.base.watched_task import cancel_all
from usbshare.client.camera.client import LOOK_TIMEOUT_S, CameraClient, WatchStream
from usbshare.client.camera.messages import (
    Event,
    HostReport,
    OpenedEvent,
    View,
)
from usbshare.client.camera.picture_age import HostClock
from usbshare.client.connection_limiter import Turns
from usbshare.rpc.status import RpcError, error_from_rpc, reason_of

log = logging.getLogger(__name__)

OPEN_TIMEOUT_S = 10.0
REASON_TIMEOUT_S = 1.0
SILENCE_S = 12.0  # a picture of 100 KB takes so long at 64 kbit/s, and nothing tells how far it is
SILENT_FRAMES = 3
LOOK_S = 2.0
FIRST_LOOKS, FIRST_LOOK_S = 5, 0.05  # the first answers of a connection are slow


@dataclass(frozen=True, slots=True)
class ViewChoice:
    """What to watch; an empty camera is the service's only one."""

    camera_id: str
    view: View
    client_name: str


class ViewLostError(UsbshareError):
    """The stream is gone; the text says why."""


class OpenAgainError(Exception):
    """Raised by `ViewSink.took`: show it from a new stream, which begins with a key frame."""


class ViewSink(Protocol):
    """Takes what one view receives."""

    @property
    def slowest_s(self) -> float:
        """How many seconds one frame may take at the requested or actual rate; 0 if unknown."""
        ...

    @property
    def is_behind(self) -> bool:
        """Whether it has frames that it has not acknowledged, so that silence means nothing."""
        ...

    def opened(self, opened: OpenedEvent) -> None:
        """Note that a stream is established."""

    async def took(self, event: Event | None, stream: WatchStream) -> None:
        """Take what came, and acknowledge frames."""

    def host_reported(self, report: HostReport) -> None:
        """Note what the host counts of us."""

    def closed(self) -> None:
        """Note that the stream has ended, for whatever reason."""

    def ended(self, reason: str) -> None:
        """Note at once that there is no stream; `lost` gives the reason later."""

    def lost(self, reason: str) -> None:
        """Note why there is none; it is tried again."""


class KeptView:
    """One stream after another of one camera. `run` is its only task."""

    def __init__(
        self,
        connect: Callable[[], CameraClient],
        turns: Turns,
        choice: ViewChoice,
        sink: ViewSink,
        backoff: Backoff,
        clock: Callable[[], float],
        gives_up: Callable[[UsbshareError], bool] | None = None,
    ) -> None:
        self.choice = choice
        self.host_clock = HostClock()
        self.stands = asyncio.Event()
        self._connect = connect
        self._turns = turns
        self._sink = sink
        self._backoff = backoff
        self._clock = clock
        self._gives_up = gives_up or self._is_final
        self._woken = asyncio.Event()

    async def run(self) -> None:
        """View until cancelled; raises the failures that are given up at, others are tried again.

        By default those are failures of the first attempt, and refusals.
        """
        while True:
            try:
                await self._view_once()
            except UsbshareError as error:
                if self._gives_up(error):
                    raise
                self._sink.ended(str(error))
                self._sink.lost(str(error))
            await self._pause()

    def retry_now(self) -> None:
        """Let the next attempt to connect come at once."""
        self._woken.set()

    def came(self) -> None:
        """Note that a good picture came: after the next loss it is tried again soon."""
        self._backoff.reset()

    def _is_final(self, error: UsbshareError) -> bool:
        return not self.stands.is_set() or isinstance(error, PermissionDeniedError)

    async def _view_once(self) -> None:
        client = await self._connected()
        try:
            while True:
                stream = await self._open(client)
                with suppress(OpenAgainError):
                    await self._take_all(client, stream)
        except RpcError as error:
            self._sink.ended(reason_of(error))
            if not isinstance(error_from_rpc(error), ConnectionRefusedByPeerError):
                raise await client.explain(error) from error
            await client.close()
            async with self._turns.turn():
                raise await client.explain(error, self._reason_timeout_s) from error
        except EOFError as error:
            raise ViewLostError("the service ended the stream") from error
        finally:
            await client.close()

    async def _connected(self) -> CameraClient:
        """Return a client that is connected; raises why it cannot be."""
        async with self._turns.turn():
            client = self._connect()
            try:
                await client.connect()
            except ConnectionRefusedByPeerError as error:
                self._sink.ended(str(error))
                await client.close()
                why = await client.why_unreachable(self._reason_timeout_s)
                raise ConnectionRefusedByPeerError(why or str(error)) from error
            except BaseException:
                await client.close()
                raise
        return client

    @property
    def _reason_timeout_s(self) -> float:
        return REASON_TIMEOUT_S if self.stands.is_set() else LOOK_TIMEOUT_S

    async def _open(self, client: CameraClient) -> WatchStream:
        choice = self.choice
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                stream = await client.watch(choice.camera_id, choice.view, choice.client_name)
                opened = await stream.receive()
        except TimeoutError as error:
            raise ConnectionRefusedByPeerError(f"{client.target} does not answer") from error
        if not isinstance(opened, OpenedEvent):
            raise ViewLostError(f"the service's first message was {type(opened).__name__}")
        await stream.acknowledge(0)
        self.host_clock.forget()
        self._woken.clear()
        self.stands.set()
        self._sink.opened(opened)
        return stream

    async def _take_all(self, client: CameraClient, stream: WatchStream) -> None:
        looking = asyncio.create_task(self._look_at_host(client), name="host clock")
        try:
            while True:
                await self._take_one(stream)
        finally:
            self._sink.closed()
            stream.cancel()
            await cancel_all(looking)

    async def _take_one(self, stream: WatchStream) -> None:
        receiving = asyncio.ensure_future(stream.receive())
        try:
            await self._until_received(receiving)
            event = receiving.result()
        finally:
            receiving.cancel()
        await self._sink.took(event, stream)

    async def _until_received(self, receiving: asyncio.Future[Event | None]) -> None:
        while not receiving.done():
            silence_s = max(SILENCE_S, SILENT_FRAMES * self._sink.slowest_s)
            await asyncio.wait((receiving,), timeout=silence_s)
            if not receiving.done() and not self._sink.is_behind:
                raise ViewLostError(f"no picture arrived for {silence_s:g} s")

    async def _pause(self) -> None:
        await set_within(self._woken, self._backoff.next_s())
        self._woken.clear()

    async def _look_at_host(self, client: CameraClient) -> None:
        """Ask for the host's time, often at first; without an answer the ages are less accurate."""
        for look in itertools.count(1):
            try:
                report = await client.host_report(self.choice.camera_id, self.choice.client_name)
            except UsbshareError as error:
                log.debug("the host's time is not known: %s", error)
            else:
                self.host_clock.answered(report.time_s, report.round_trip_s, self._clock())
                self._sink.host_reported(report)
            await asyncio.sleep(LOOK_S if look >= FIRST_LOOKS else FIRST_LOOK_S)
