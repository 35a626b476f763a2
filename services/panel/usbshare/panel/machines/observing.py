"""Observes machines that another client controls, while a page shows their console."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from usbshare.base.errors import NotFoundError, UsbshareError
from usbshare.base.watched_task import cancel_all, in_background
from usbshare.client.serial.link_state import LinkLostError, SessionChoice
from usbshare.client.serial.messages import RemotePort
from usbshare.line.flow.replies import Kind
from usbshare.panel.machines import firmware_texts
from usbshare.panel.machines.console import Console, Origin
from usbshare.panel.machines.control import Place
from usbshare.panel.machines.controls import Controls
from usbshare.panel.machines.conversation import Conversation, Heard
from usbshare.panel.machines.machine_view import MachineKey
from usbshare.panel.machines.session import Session

AGAIN_S = 1.0
# Another program's replies and reports tell nobody here anything, and are as many as its lines.
_LEFT_OUT = frozenset({Kind.OK, Kind.REPORT, Kind.WAIT})
_BAD = frozenset({Kind.ALARM, Kind.ERROR, Kind.COMPLAINT})


class Observers:
    """Observes each machine whose console is shown; opens no device: that would reset many."""

    def __init__(
        self, controls: Controls, place: Callable[[MachineKey], Place], client_name: str
    ) -> None:
        self._controls = controls
        self._place = place
        self._client_name = client_name
        self._tasks: dict[MachineKey, asyncio.Task[None]] = {}

    def look(self, key: MachineKey) -> None:
        """Begin or end observing, as the console of a machine is shown or hidden."""
        is_shown = self._controls.console(key).is_shown
        if is_shown and key not in self._tasks:
            self._tasks[key] = in_background(self._observe(key), f"observe {key}")
        elif not is_shown and (task := self._tasks.pop(key, None)) is not None:
            task.cancel()

    async def close(self) -> None:
        """End all observing."""
        await cancel_all(*self._tasks.values())

    async def _observe(self, key: MachineKey) -> None:
        while True:
            with suppress(UsbshareError, LinkLostError):
                if self._is_to_observe(key):
                    await self._observe_once(key)
            await asyncio.sleep(AGAIN_S)

    async def _observe_once(self, key: MachineKey) -> None:
        choice = SessionChoice(key[1], True, self._client_name, resumes=False)
        observer = _Observer(self._controls.console(key), lambda: self._is_ours(key))
        session = Session(self._place(key), choice, observer)
        await session.open()
        try:
            while True:
                await asyncio.sleep(AGAIN_S)
                if observer.has_ended or not self._is_to_observe(key):
                    return
        finally:
            await session.close()

    def _is_to_observe(self, key: MachineKey) -> bool:
        try:
            remote = self._controls.machine(key).port.port
        except NotFoundError:
            return False
        return remote.state == "open" and not self._is_ours(key)

    def _is_ours(self, key: MachineKey) -> bool:
        return self._controls.has_control(key)


class _Observer:
    """Puts what a machine says on its console, unless our own session does."""

    def __init__(self, console: Console, is_ours: Callable[[], bool]) -> None:
        self.has_ended = False
        self._console = console
        self._is_ours = is_ours
        self._conversation = Conversation()
        self._port: RemotePort | None = None

    def session_said(self, data: bytes) -> None:
        """Take bytes from the machine."""
        if self._port is None:
            return
        for heard in self._conversation.feed(data, self._port.profile):
            self._heard(heard)

    def session_port(self, port: RemotePort) -> None:
        """Note which firmware speaks."""
        self._port = port

    def session_asked(self, who: str) -> None:
        """Take no note: only holders are asked."""

    def session_ended(self, reason: str) -> None:
        """Note that it is over."""
        del reason
        self.has_ended = True

    def _heard(self, heard: Heard) -> None:
        if not heard.text or heard.kind in _LEFT_OUT or self._is_ours():
            return
        origin = Origin.FAILURE if heard.kind in _BAD else Origin.MACHINE
        self._console.add(origin, firmware_texts.explained(heard.text))
