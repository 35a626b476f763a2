"""Opens a port's device at first use, keeps it open, and reopens it when it is back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from enum import Enum
from typing import Any, Protocol, TypeVar

from usbshare.base.errors import DeviceAbsentError, DeviceError
from usbshare.line.settings import Device, DeviceListener, LineSettings, ModemLines

log = logging.getLogger(__name__)

T = TypeVar("T")

REOPEN_INTERVAL_S = 0.5
CLOSE_TIMEOUT_S = 2.0
NOT_OPENED = "not yet opened"


class PortState(Enum):
    """Whether a port can be used."""

    AVAILABLE = "available"
    OPEN = "open"
    ABSENT = "absent"
    FAILED = "failed"


ABSENT = PortState.ABSENT


class KeptDeviceListener(DeviceListener, Protocol):
    """Receives the events of the keeper, besides those of the device itself."""

    @property
    def settings(self) -> LineSettings:
        """The settings that a device gets when it is opened."""
        ...

    def device_opened(self, device: Device) -> None:
        """Note that a device is open."""

    def device_failed(self) -> None:
        """Note that the device could not be opened; `state` and `reason` say why."""


class DeviceKeeper:
    """Knows whether a port has its device, and why not."""

    def __init__(
        self,
        port_id: str,
        make_device: Callable[[LineSettings], Device],
        listener: KeptDeviceListener,
    ) -> None:
        self.device: Device | None = None
        self._ear: _Ear | None = None
        self.state = PortState.AVAILABLE
        self.reason = NOT_OPENED
        self._port_id = port_id
        self._make_device = make_device
        self._listener = listener
        self._opening = asyncio.Lock()
        self._background: set[asyncio.Task[Any]] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._reopening: asyncio.Task[None] | None = None
        self._closed = False

    async def ensure_open(self) -> None:
        """Open the device unless it is open; raises DeviceError naming the port and the reason."""
        async with self._opening:
            if self.device is not None:
                return
            try:
                await self._closed_before()
                device = await self._open()
            except DeviceError as error:
                if self._note_failure(error):
                    self._listener.device_failed()
                is_absent = isinstance(error, DeviceAbsentError)
                kind = DeviceAbsentError if is_absent else DeviceError
                raise kind(f"port '{self._port_id}': {error}") from error
            self.device, self.state, self.reason = device, PortState.OPEN, ""
            self._listener.device_opened(device)

    def lost(self, reason: str) -> bool:
        """Note that the device is gone, and look for it from now on; False if that was known."""
        device, self.device = self.device, None
        if device is None:
            return False
        self._stop_listening()
        self.state, self.reason = PortState.ABSENT, reason
        self._let_go(device)
        if not self._closed:
            self._reopening = self.run(self._reopen(), "reopen")
        return True

    def noticed(self, *, present: bool, why_not: str = "not plugged in") -> bool:
        """Note whether there is something to open; True if that changed the state."""
        if self.device is not None or self._is_looking:
            return False
        if present and self.state is not ABSENT:
            return False
        now = (PortState.AVAILABLE, NOT_OPENED) if present else (ABSENT, why_not)
        before = self.state, self.reason
        self.state, self.reason = now
        return before != now

    async def finish_running(self, timeout_s: float) -> None:
        """Wait until work begun with `run` has ended, at most that long."""
        if running := self._background - {self._reopening}:
            await asyncio.wait(running, timeout=timeout_s)

    async def close(self, timeout_s: float = CLOSE_TIMEOUT_S) -> None:
        """Close the device permanently, and end work begun with `run`.

        A driver that takes longer continues on its own.
        """
        self._closed = True
        for task in self._background:
            task.cancel()
        device, self.device = self.device, None
        self._stop_listening()
        if device is not None:
            self._let_go(device)
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while left := self._background | self._closing:
                    await asyncio.wait(left)
        if self._closing:
            log.warning("port '%s': the driver is still closing the device", self._port_id)

    def _let_go(self, device: Device) -> asyncio.Task[None]:
        """Close a device, even if the calling task is cancelled."""
        closing = asyncio.create_task(device.close(), name=f"close {self._port_id}")
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
        return closing

    async def _closed_before(self) -> None:
        if self._closing:
            await asyncio.wait(self._closing, timeout=CLOSE_TIMEOUT_S)
        if self._closing:
            raise DeviceError("its driver is still closing it: unplug it and plug it in again")

    def _note_failure(self, error: DeviceError) -> bool:
        """Note why there is no device; True if that is news. An absent one stays absent."""
        before = self.state, self.reason
        if not isinstance(error, DeviceAbsentError):
            self.state, self.reason = PortState.FAILED, str(error)
        elif self.state is not ABSENT:
            self.state, self.reason = ABSENT, str(error)
        return (self.state, self.reason) != before

    @property
    def _is_looking(self) -> bool:
        return self._reopening is not None and not self._reopening.done()

    async def _open(self) -> Device:
        device = self._make_device(self._listener.settings)
        self._ear = ear = _Ear(self._listener)
        try:
            await device.open(ear)
            if device.settings != self._listener.settings:
                await device.configure(self._listener.settings)
            if ear.lost_reason:
                raise DeviceError(ear.lost_reason)
            if self._closed:
                raise DeviceError("the port was closed in the meantime")
        except BaseException:
            self._stop_listening()
            await asyncio.shield(self._let_go(device))
            raise
        return device

    def _stop_listening(self) -> None:
        if self._ear is not None:
            self._ear.go_deaf()

    async def _reopen(self) -> None:
        while self.device is None:
            await asyncio.sleep(REOPEN_INTERVAL_S)
            with suppress(DeviceError):
                await self.ensure_open()

    def run(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Run something on the device that outlives its caller."""
        task = asyncio.get_running_loop().create_task(work, name=f"{name} {self._port_id}")
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task


class _Ear:
    """Listens to one device until it is abandoned; later events are ignored.

    The loss of a device that is still being opened has no owner yet, so it is kept here.
    """

    def __init__(self, listener: DeviceListener) -> None:
        self.lost_reason = ""
        self.is_deaf = False
        self._listener = listener
        self.data_received: Callable[[bytes], None] = listener.data_received

    def go_deaf(self) -> None:
        """Report nothing more."""
        self.is_deaf = True
        self.data_received = lambda _: None

    def writable(self) -> None:
        if not self.is_deaf:
            self._listener.writable()

    def lines_changed(self, lines: ModemLines) -> None:
        if not self.is_deaf:
            self._listener.lines_changed(lines)

    def device_lost(self, reason: str) -> None:
        self.lost_reason = reason
        if not self.is_deaf:
            self._listener.device_lost(reason)
