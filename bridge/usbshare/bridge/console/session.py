"""One session of the console with a remote port: it only observes, or it is in control."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from usbshare.base.errors import ConnectionRefusedByPeerError
from usbshare.base.waits import first_of
from usbshare.base.watched_task import cancel_all
from usbshare.bridge.forwarding.virtual_com_port import BridgeChoice, Forwarding
from usbshare.bridge.local_ports.shared import SharedPort
from usbshare.bridge.tables.status_line import Status
from usbshare.client.serial.messages import RemotePort

READY_S = 30.0


class SessionOwner(Protocol):
    """Whom a session tells."""

    def session_said(self, session: Session, data: bytes) -> None:
        """Take bytes of the device."""

    def session_hung_up(self, session: Session) -> None:
        """Note that what was written is void."""

    def session_event(self, session: Session, name: str, text: str) -> None:
        """Take news for people."""

    def session_ended(self, session: Session, why: BaseException | None) -> None:
        """Note that it is over, and why where nobody asked for that."""


class Session:
    """Runs until `close`; tells its owner. `port` is what is joined to the remote port."""

    def __init__(self, choice: BridgeChoice, owner: SessionOwner) -> None:
        self.observes = choice.observe
        self.port = SharedPort(self)
        self.last_status: Status | None = None
        self._owner = owner
        self._ready = asyncio.Event()
        self._last_reason = ""
        self._forwarding = Forwarding(choice, self.port, self)
        self._running = asyncio.create_task(self._forwarding.run(), name="console session")
        self._running.add_done_callback(self._ended)

    @property
    def remote(self) -> RemotePort | None:
        """The remote port as it was told last."""
        return self._forwarding.relay.remote

    @property
    def is_connected(self) -> bool:
        """Whether the link is up."""
        link = self._forwarding.relay.link
        return not self._running.done() and link is not None and link.is_connected

    @property
    def place(self) -> Any:
        """Where the host is, and the certificate that is current."""
        return self._forwarding.place

    async def until_ready(self) -> None:
        """Wait until it is established; raises why it is not."""
        await first_of(self._ready, self._running, timeout_s=READY_S)
        if self._running.done():
            self._running.result()
        if not self._ready.is_set():
            raise ConnectionRefusedByPeerError(f"no session within {READY_S:g} s")

    async def close(self) -> None:
        """Say goodbye after what has been written; 6 s at most."""
        self._running.remove_done_callback(self._ended)
        # Established is enough, though the port is not there yet: without a goodbye the host takes
        # the link for lost, and stops its machine.
        if self._ready.is_set() or self._forwarding.relay.connected.is_set():
            self._forwarding.end()
        else:
            self._running.cancel()
        await asyncio.wait((self._running,), timeout=6.0)
        await cancel_all(self._running)

    # What the shared port tells.

    def device_said(self, data: bytes) -> None:
        """Pass bytes of the device on."""
        self._owner.session_said(self, data)

    def was_hung_up(self) -> None:
        """Pass on that what was written is void."""
        self._owner.session_hung_up(self)

    def told(self, text: str) -> None:
        """Pass on news of a local port."""
        self._owner.session_event(self, "local_port", text)

    # What the forwarding reports.

    def event(self, name: str, text: str, **fields: Any) -> None:
        """Pass news on; attempts that fail alike are told once."""
        if name == "ready":
            self._ready.set()
        reason = str(fields.get("reason", ""))
        repeats = name == "waiting" and reason == self._last_reason
        self._last_reason = reason
        if not repeats:
            self._owner.session_event(self, name, text)

    def status(self, status: Status) -> None:
        """Keep how things are."""
        self.last_status = status

    def end(self) -> None:
        """Do nothing: there is no terminal to leave."""

    def _ended(self, running: asyncio.Task[None]) -> None:
        why = None if running.cancelled() else running.exception()
        self._owner.session_ended(self, why)
