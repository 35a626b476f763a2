"""The gateway's control of one machine: a session on demand, released when idle."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Protocol

from usbshare.base.errors import (
    DeviceError,
    PortLatchedError,
    SessionLostError,
    UsbshareError,
    WrongStateError,
)
from usbshare.base.waits import set_within
from usbshare.client.serial import port_condition
from usbshare.client.serial.link_state import LinkLostError, SessionChoice
from usbshare.client.serial.messages import RemotePort
from usbshare.line.machine_report import MachineReport
from usbshare.panel.machines import firmware_texts
from usbshare.panel.machines.console import Console, Origin
from usbshare.panel.machines.exchange import Exchange, Reply
from usbshare.panel.machines.machine_view import MachineKey
from usbshare.panel.machines.session import Session
from usbshare.rpc.channel import Target
from usbshare.rpc.tls import ClientBundle

# How long control is kept that nobody uses, of a machine at rest.
IDLE_S = 20.0
POLL_S = 0.25
# A line behind a full planner, or homing of a large machine, takes minutes.
REPLY_S = 600.0
_AT_REST = frozenset({"", "Idle", "Alarm", "Sleep", "Check"})
_WELL = frozenset({"Run", "Jog", "Home"})
_REPORT = b"?"
# Firmware that answers `$$` with `$110=500.000`, a line for each setting.
SETTINGS = "$$"
SETTINGS_S = 3.0
# An Arduino that is reset by opening its port is in its boot loader for that long.
BOOT_S = 4.0
_HAS_SETTINGS = frozenset({"grbl", "grblhal", "grbl09"})
_SETTING = re.compile(r"\$(\d{1,5})=(-?\d+(?:\.\d+)?)")
_CHANGES_SETTING = re.compile(r"\$(\d+=|RST=)", re.IGNORECASE)

Place = tuple[Target, ClientBundle | None]


class ControlOwner(Protocol):
    """Whom control tells."""

    def place(self, key: MachineKey) -> Place:
        """Return where the machine's host answers; raises UsbshareError."""
        ...

    def control_changed(self, control: Control) -> None:
        """Note that control was taken, lost or given up, or that something else is being done."""

    def control_asked(self, control: Control, who: str) -> None:
        """Note that somebody asks for control."""


class Control:
    """Used from one event loop. `report` is the machine's last, while there is a session."""

    def __init__(
        self, key: MachineKey, owner: ControlOwner, console: Console, client_name: str
    ) -> None:
        self.key = key
        self.port: RemotePort | None = None
        self.report: MachineReport | None = None
        self.settings: dict[int, float] = {}
        self.firmware_message = ""
        self.activity = ""
        self.is_opening = False
        self._owner = owner
        self._console = console
        self._client_name = client_name
        self._session: Session | None = None
        self._is_kept = False
        self.exchange = Exchange(console, self._reported, self._failed)
        self._changing = asyncio.Lock()
        self._turn = asyncio.Lock()
        self._used_at = 0.0
        self._has_report = asyncio.Event()
        self._listeners: list[Callable[[MachineReport], None]] = []
        self._held_listeners: list[Callable[[str], None]] = []
        self._keeping: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._clock = asyncio.get_running_loop().time

    @property
    def session_id(self) -> str:
        """The session that has control, empty for none."""
        return "" if self._session is None else self._session.id

    @property
    def is_connected(self) -> bool:
        """Whether what is written goes out at once."""
        return self._session is not None and self._session.is_connected

    def on_report(self, listener: Callable[[MachineReport], None]) -> Callable[[], None]:
        """Call back at each report, until what is returned is called."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def on_held(self, listener: Callable[[str], None]) -> Callable[[], None]:
        """Call back with what is held or latched, as soon as it is, until the result is called."""
        self._held_listeners.append(listener)
        return lambda: self._held_listeners.remove(listener)

    async def take(self, *, from_holder: bool = False, is_kept: bool = True) -> None:
        """Take control, from its holder if `from_holder`; raises UsbshareError."""
        async with self._changing:
            self._used_at = self._clock()
            if self._session is None:
                await self._open(from_holder=from_holder)
            self._is_kept = self._is_kept or is_kept

    async def release(self) -> None:
        """Release control."""
        async with self._changing:
            self._is_kept = False
            await self._leave("control was released")

    async def close(self) -> None:
        """End, with everything that is being done."""
        await self.release()
        await asyncio.gather(*self._closing, return_exceptions=True)

    async def send(self, *lines: str, shows: bool = True, wait_s: float = REPLY_S) -> Reply:
        """Send lines, all at once, and wait until each has its reply; raises UsbshareError."""
        return await self.send_each([lines], shows=shows, wait_s=wait_s)

    async def send_each(
        self, pieces: Iterable[Sequence[str]], *, shows: bool = True, wait_s: float = REPLY_S
    ) -> Reply:
        """Send pieces, each once the one before was replied to.

        WrongStateError if it was cancelled meanwhile. Returns the last reply; after an error
        nothing more is sent.
        """
        async with self._turn:
            await self.take(is_kept=False)
            reply: Reply | None = None
            calls_off = self.exchange.calls_off
            for lines in pieces:
                if self.exchange.calls_off != calls_off:
                    raise WrongStateError("it was cancelled")
                reply = await self._send_piece(lines, shows=shows, wait_s=wait_s)
                if not reply.is_ok:
                    break
            return reply or Reply("ok", (), 0.0)

    def realtime(self, data: bytes) -> None:
        """Write real-time bytes ahead of all; raises SessionLostError."""
        if self._session is None:
            raise SessionLostError("there is no session")
        self._used_at = self._clock()
        self._session.write(data)

    def write_lines(self, *lines: str, shows: bool = False) -> asyncio.Future[Reply]:
        """Write lines at once, as one; raises WrongStateError while others have no reply yet.

        Without waiting for a turn: for whoever must know when it went.
        """
        session = self._require_session()
        self._used_at = self._clock()
        done = self.exchange.begin(len(lines), shows=shows)
        try:
            session.write("".join(f"{line}\n" for line in lines).encode())
        except UsbshareError as error:
            self.exchange.give_up(error)
            raise
        return done

    def discard(self) -> None:
        """Drop lines that were written and have not left yet."""
        if self._session is not None and self._session.discard():
            self.exchange.give_up(WrongStateError("the line was not sent"))

    async def fresh_report(self, wait_s: float = 2.0) -> MachineReport:
        """Request a report and return it; DeviceError if none comes within `wait_s`."""
        self._require_session()
        self._has_report.clear()
        self.realtime(_REPORT)
        if not await set_within(self._has_report, wait_s):
            raise DeviceError(f"the machine sent no report within {wait_s:g} s")
        if self.report is None:
            raise SessionLostError("the session ended")
        return self.report

    def require_unlatched(self) -> None:
        """Raise PortLatchedError where the port refuses programs."""
        port = self._require_port()
        if port.latched:
            raise PortLatchedError(port_condition.sentences(port))

    def require_released(self) -> None:
        """Raise where the machine must not be given anything to do: latched, or held.

        A held machine would keep a line, and carry it out once somebody lets it go on. In alarm it
        refuses what it must, and needs lines to get out of it.
        """
        self.require_unlatched()
        port = self._require_port()
        if port.hold is not None and port.hold.cause != "alarm":
            raise WrongStateError(port_condition.sentences(port))

    def doing(self, activity: str) -> None:
        """Show what is being done, empty for nothing."""
        self.activity = activity
        self._owner.control_changed(self)

    # What the session tells.

    def session_said(self, data: bytes) -> None:
        """Take what the machine says."""
        self.exchange.feed(data, self._require_port().profile)

    def session_port(self, port: RemotePort) -> None:
        """Note the port; what a stop or a reset ended has no reply any more."""
        before, self.port = self.port, port
        if before is not None and before.epoch != port.epoch:
            self.exchange.reset()
            self.exchange.give_up(WrongStateError(port_condition.why_fenced(port)))
        if port_condition.is_other(before, port) and before is not None:
            _, text = port_condition.news(port)
            self._console.add(Origin.NEWS, text)
        if port.hold is not None or port.latched:
            for listener in list(self._held_listeners):
                listener(port_condition.sentences(port))

    def session_asked(self, who: str) -> None:
        """Pass on that somebody asks for control."""
        self._console.add(Origin.NEWS, f"{who} asks for control")
        self._owner.control_asked(self, who)

    def session_ended(self, reason: str) -> None:
        """Fail the lines without a reply: it is unknown whether they were carried out."""
        self._console.add(Origin.FAILURE, f"control was lost: {reason}")
        session, self._session = self._session, None
        self._is_kept = False
        self.exchange.give_up(SessionLostError(f"control was lost: {reason}"))
        self._end_keeping()
        if session is not None:
            closing = asyncio.create_task(session.close(), name=f"lost control of {self.key}")
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
        self._owner.control_changed(self)

    # Helpers.

    async def _open(self, *, from_holder: bool) -> None:
        place = self._owner.place(self.key)
        choice = SessionChoice(
            self.key[1], False, self._client_name, resumes=False, takes=from_holder
        )
        session = Session(place, choice, self)
        self.exchange.reset()
        self.report = None
        self.settings = {}  # another program may have changed them
        self.is_opening = True
        self._owner.control_changed(self)
        try:
            await session.open()
            self._session = session
        except LinkLostError as error:
            raise SessionLostError(str(error)) from error
        finally:
            self.is_opening = False
            self._owner.control_changed(self)
        self._console.add(Origin.NEWS, "the panel has control")
        self._keeping = asyncio.create_task(self._keep(session), name=f"control of {self.key}")
        with suppress(UsbshareError):
            await self._get_to_know()
        self._owner.control_changed(self)

    async def _get_to_know(self) -> None:
        """Wait until the machine answers, which opening its port may have reset, and ask it."""
        if self._require_port().profile.reports_state:
            await self.fresh_report(BOOT_S)
        if not self._require_port().latched:
            await self._read_settings()

    async def _read_settings(self) -> None:
        """Ask the machine for its settings; what does not answer so has none."""
        if self._require_port().profile.name not in _HAS_SETTINGS:
            return
        reply = await self._exchange((SETTINGS,), shows=False, wait_s=SETTINGS_S)
        found = (_SETTING.match(line) for line in reply.said)
        self.settings = {int(each[1]): float(each[2]) for each in found if each}

    async def _leave(self, why: str) -> None:
        session, self._session = self._session, None
        if session is None:
            return
        self.exchange.give_up(WrongStateError(why))
        self._end_keeping()
        await session.close()
        self._console.add(Origin.NEWS, why)
        self._owner.control_changed(self)

    async def _keep(self, session: Session) -> None:
        """Ask for reports while there is a session, and give it up once nobody needs it."""
        while self._session is session:
            if self.port is not None and self.port.profile.reports_state:
                with suppress(SessionLostError):
                    session.write(_REPORT)
            await asyncio.sleep(POLL_S)
            if self._is_idle():
                self._keeping = None  # which would be cancelled else
                with suppress(UsbshareError):
                    await self.release()
                return

    def _is_idle(self) -> bool:
        state = "" if self.report is None else self.report.state
        is_used = self._is_kept or self.exchange.is_waiting or self._turn.locked()
        is_at_rest = state in _AT_REST and not self.activity
        return not is_used and is_at_rest and self._clock() - self._used_at >= IDLE_S

    async def _send_piece(self, lines: Sequence[str], *, shows: bool, wait_s: float) -> Reply:
        reply = await self._exchange(lines, shows=shows, wait_s=wait_s)
        if any(_CHANGES_SETTING.match("".join(line.split())) for line in lines):
            self.settings = {}  # GRBL resets after $RST, and then answers nothing
            with suppress(UsbshareError):
                await self._read_settings()
            self._owner.control_changed(self)
        return reply

    async def _exchange(self, lines: Sequence[str], *, shows: bool, wait_s: float) -> Reply:
        self.require_released()
        if shows:
            for line in lines:
                self._console.add(Origin.SENT, line)
        done = self.write_lines(*lines, shows=shows)
        try:
            async with asyncio.timeout(wait_s):
                reply = await done
        except TimeoutError as error:
            raise DeviceError(f"the machine did not reply within {wait_s:g} s") from error
        if shows:
            self._console.add(Origin.MACHINE, reply.text)
        return reply

    def _reported(self, report: MachineReport) -> None:
        self.report = report
        self._has_report.set()
        if self.firmware_message and report.state in _WELL:
            self._failed("")
        for listener in list(self._listeners):
            listener(report)

    def _failed(self, text: str) -> None:
        self.firmware_message = firmware_texts.explained(text)
        self._owner.control_changed(self)

    def _end_keeping(self) -> None:
        keeping, self._keeping = self._keeping, None
        if keeping is not None and keeping is not asyncio.current_task():
            keeping.cancel()

    def _require_session(self) -> Session:
        if self._session is None:
            raise SessionLostError("there is no session")
        return self._session

    def _require_port(self) -> RemotePort:
        if self.port is None:
            raise SessionLostError("there is no session")
        return self.port
