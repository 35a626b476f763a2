"""The host that a console is about: its ports, the way to stop them, and who is told of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from usbshare.base.errors import NotFoundError, NotSupportedError
from usbshare.bridge.console.audience import Audience
from usbshare.bridge.console.language import REPORT, RESET, STOPS
from usbshare.bridge.console.lines import Kind, Line, Tell
from usbshare.bridge.console.machine import Machine
from usbshare.bridge.console.stops import StopLine
from usbshare.bridge.forwarding.virtual_com_port import BridgeChoice
from usbshare.bridge.tables.status_line import Status
from usbshare.client.serial.client import SerialClient
from usbshare.client.serial.messages import RemotePort
from usbshare.line.stop_actions import StopAction
from usbshare.rpc.channel import Target
from usbshare.rpc.tls import ClientBundle

if TYPE_CHECKING:
    from usbshare.bridge.settings import Settings

PROGRAM = "console"
REPORT_S = 5.0
LOOK_S = 5.0


@dataclass(frozen=True, slots=True)
class HostChoice:
    """Which host, with which trust; `settings`: how to find it again."""

    target: Target
    bundle: ClientBundle | None
    settings: Settings | None
    job_port: int | None


class Host:
    """Machines by their ports, made when they are first used; used from one event loop."""

    def __init__(self, choice: HostChoice) -> None:
        self.usual_port = ""
        self.audience = Audience()
        self.stops = StopLine(lambda: self.place, self.audience.tell_all)
        self._choice = choice
        self._machines: dict[str, Machine] = {}
        self._ports: list[str] = []
        self._jobs: list[str] = []

    async def start(self, port_id: str) -> None:
        """Look which ports there are and observe the one that is meant; raises why it cannot."""
        self.stops.start()
        await self.list_ports()
        if port_id and port_id not in self._ports:
            raise NotFoundError(self._no_port(port_id))
        self.usual_port = port_id or (self._ports[0] if len(self._ports) == 1 else "")
        if self.usual_port:
            await self.machine(self.usual_port).observe()

    async def close(self) -> None:
        """End every session."""
        await asyncio.gather(*(machine.close() for machine in self._machines.values()))
        await self.stops.close()

    # Ports.

    @property
    def place(self) -> tuple[Target, ClientBundle | None]:
        """Where the host is now, as far as is known, and the certificate that is current."""
        sessions = (machine.session for machine in self._machines.values())
        places = [session.place for session in sessions if session is not None]
        return next(iter(places), (self._choice.target, self._choice.bundle))

    @property
    def ports(self) -> list[str]:
        """The ids of the host's ports, as they were told last."""
        return self._ports

    @property
    def job_port(self) -> int | None:
        """Where the host's job service listens; None: as the host announces."""
        return self._choice.job_port

    @property
    def jobs(self) -> list[str]:
        """The numbers of the jobs that were listed last."""
        return self._jobs

    def note_jobs(self, job_ids: list[str]) -> None:
        """Note the jobs that were listed now."""
        self._jobs = job_ids

    @property
    def settings(self) -> Settings | None:
        """How hosts are found."""
        return self._choice.settings

    def require_port(self, port_id: str) -> str:
        """Return the port that is chosen; NotFoundError where there is none."""
        if port_id:
            return port_id
        ways = " or ".join(f"`use {each}`" for each in self._ports) or "the host has none"
        raise NotFoundError(f"no port is chosen: {ways}")

    def machine(self, port_id: str) -> Machine:
        """Return what sends to a port."""
        if port_id not in self._machines:
            self._machines[port_id] = Machine(
                lambda observe: self._bridge_choice(port_id, observe=observe),
                port_id,
                self.audience,
            )
        return self._machines[port_id]

    def machines(self) -> Iterator[Machine]:
        """Yield those that were used."""
        yield from list(self._machines.values())

    def has_link(self, port_id: str) -> bool:
        """Return whether lines for the port can go now, as far as is known."""
        machine = self._machines.get(port_id)
        session = None if machine is None else machine.session
        return session is None or session.is_connected

    def last_status(self, port_id: str) -> Status | None:
        """Return how the session with a port is; None while there is none."""
        machine = self._machines.get(port_id)
        session = None if machine is None else machine.session
        return None if session is None else session.last_status

    async def list_ports(self) -> list[RemotePort]:
        """Ask the host for its ports; raises UsbshareError."""
        client = SerialClient(*self.place)
        try:
            ports = await client.list_ports(LOOK_S)
        finally:
            await client.close()
        self._ports = [port.id for port in ports]
        return ports

    async def use(self, port_id: str) -> Machine:
        """Return a port's machine, observed; raises where there is none of that id."""
        if port_id not in self._ports:
            await self.list_ports()
        if port_id not in self._ports:
            raise NotFoundError(self._no_port(port_id))
        machine = self.machine(port_id)
        await machine.observe()
        return machine

    # What overtakes.

    async def stop(self, port_id: str, action: StopAction, who: str, tell: Tell) -> Line:
        """Stop the machine; what waits to be sent is void at once, unless it is only held."""
        if action is StopAction.EMERGENCY_STOP:
            self.void(port_id, "an emergency stop")
        return await self.stops.stop(port_id, action, f"console, {who}", tell)

    async def realtime(self, port_id: str, data: bytes, tell: Tell) -> None:
        """Send real-time bytes, and tell the report that was asked for."""
        if data in STOPS:
            if data == RESET:
                self.void(port_id, "a reset")
            await self.stops.realtime(port_id, data, 0)
        elif await self._asked(await self.use(port_id), data, tell):
            return
        shown = "0x18" if data == RESET else data.decode()
        tell(Line(f"sent {shown} to port '{port_id}'", Kind.OK))

    def void(self, port_id: str, why: str) -> None:
        """Make void what waits to be sent to a port, and the line that is with it."""
        self.machine(port_id).void(why)
        self.audience.discard(port_id, why)

    async def release(self, user: object) -> None:
        """Give back what a conversation holds."""
        for machine in self.machines():
            await machine.release(user)

    async def _asked(self, machine: Machine, data: bytes, tell: Tell) -> bool:
        """Send what only counts in the epoch that was seen; returns whether its answer was told.

        A resume of what is seen to be held names that hold: it undoes no later one.
        """
        seen = machine.remote
        if not seen.profile.is_realtime(data):
            raise NotSupportedError(
                f"the firmware of port '{seen.id}' has no real-time byte {data.decode()}"
            )
        if data == REPORT:
            ask = partial(self.stops.realtime, seen.id, data, seen.epoch)
            await machine.report(tell, ask, REPORT_S)
        elif seen.hold is not None and seen.hold.release == "resume":
            tell(await self.stops.resume(seen, "console"))
        else:
            await self.stops.realtime(seen.id, data, seen.epoch)
            return False
        return True

    def _bridge_choice(self, port_id: str, *, observe: bool) -> BridgeChoice:
        target, bundle = self.place
        return BridgeChoice(
            target, bundle, port_id, observe, self._choice.settings, program=PROGRAM
        )

    def _no_port(self, port_id: str) -> str:
        known = ", ".join(self._ports) or "none"
        return f"the host has no port {port_id!r}: it has {known}"
