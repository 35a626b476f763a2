"""The gateway's control of one machine: a session on demand, released when idle."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Protocol

from usbshare.base.errors import (
    DeviceError,
    SessionLostError,
    UsbshareError,
    WrongStateError,
)
from usbshare.base.waits import set_within
from usbshare.client.serial import port_condition
from usbshare.client.serial.link_state import LinkLostError, SessionChoice
from usbshare.client.serial.messages import RemotePort
from usbshare.line.machine_report import MachineReport
from usbshare.panel.machines import condition, firmware_texts, machine_settings
from usbshare.panel.machines.console import Console, Origin
from usbshare.panel.machines.exchange import Exchange, Reply
from usbshare.panel.machines.known_overrides import KnownOverrides
from usbshare.panel.machines.listeners import Listeners
from usbshare.panel.machines.machine_view import ASLEEP, MachineKey
from usbshare.panel.machines.session import Session
from usbshare.panel.machines.use import Use
from usbshare.rpc.channel import Target
from usbshare.rpc.tls import ClientBundle

POLL_S = 0.25
GIVEN_UP = "control was released"
# A line behind a full planner, or homing of a large machine, takes minutes.
REPLY_S = 600.0
_AT_REST = frozenset({"", "Idle", "Alarm", "Sleep", "Check"})
_WELL = frozenset({"Run", "Jog", "Home"})
_ALARM = "ALARM:"
_REPORT = b"?"
SETTINGS_S = 3.0
# An Arduino that is reset by opening its port is in its boot loader for that long.
BOOT_S = 4.0
# The current work, in words.
HOMING, FRAMING, PULSING = "homing", "framing", "pulsing the laser"

Place = tuple[Target, ClientBundle | None]


class ControlOwner(Protocol):
    """Gets the events of control."""

    def place(self, key: MachineKey) -> Place:
        """Return where the machine's host answers; raises UsbshareError."""
        ...

    def control_changed(self, control: Control) -> None:
        """Note that control was taken, lost or given up, or that something else is being done."""

    def control_asked(self, control: Control, who: str) -> None:
        """Note that somebody asks for control."""


class Control:
    """Used from one event loop. `report` is the machine's last, while there is a session.

    `reports` tells each as it comes, `holds` what is held or latched as soon as it is. Steps by
    hand go one behind another, each under `steps`.
    """

    def __init__(
        self, key: MachineKey, owner: ControlOwner, console: Console, client_name: str
    ) -> None:
        self.key = key
        self.port: RemotePort | None = None
        self.report: MachineReport | None = None
        self.overrides = KnownOverrides()
        self.settings: dict[int, float] = {}
        self.firmware_message = ""
        self._failed_epoch = 0
        self.activity = ""
        self._activities: list[str] = []
        self.is_opening = False
        self._owner = owner
        self.console = console
        self._client_name = client_name
        self._session: Session | None = None
        self.use = Use()
        self.exchange = Exchange(console, self._reported, self._failed)
        self._changing = asyncio.Lock()
        self._turn = asyncio.Lock()
        self.steps = asyncio.Lock()
        self._has_report = asyncio.Event()
        self.reports = Listeners[MachineReport]()
        self.holds = Listeners[str]()
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

    @property
    def round_trip_s(self) -> float:
        """How long an answer of the service takes; 0 where that is not known."""
        return 0.0 if self._session is None else self._session.round_trip_s

    @property
    def its_port(self) -> RemotePort:
        """The port as the session knows it; raises SessionLostError."""
        if self.port is None:
            raise SessionLostError("there is no session")
        return self.port

    async def take(self, *, from_holder: bool = False, is_kept: bool = True) -> None:
        """Take control, from its holder if `from_holder`; raises UsbshareError.

        WrongStateError while control is being released.
        """
        async with self._changing:
            if self.use.is_ending:
                raise WrongStateError("control is being released")
            self.use.used(self._clock())
            if self._session is None:
                await self._open(from_holder=from_holder)
            self.use.is_kept |= is_kept

    async def release(self, why: str = GIVEN_UP) -> None:
        """Release control; what moves by it is ended before, see `ending`."""
        async with self._changing:
            self.use.is_kept = False
            await self._leave(why)
        await asyncio.gather(*self._closing, return_exceptions=True)

    async def release_unused(self) -> None:
        """Release control at once if nobody wants to keep it, and nothing is being done."""
        if not self._is_busy and not self.use.is_wanted and not self.use.is_ending:
            await self.release()

    async def send(
        self, *lines: str, shows: bool = True, wait_s: float = REPLY_S, doing: str = ""
    ) -> Reply:
        """Send lines, all at once, and wait until each has its reply; raises UsbshareError."""
        return await self.send_each([lines], shows=shows, wait_s=wait_s, doing=doing)

    async def send_each(
        self,
        pieces: Iterable[Sequence[str]],
        *,
        shows: bool = True,
        wait_s: float = REPLY_S,
        doing: str = "",
    ) -> Reply:
        """Send pieces, each once the one before was replied to; `doing` is shown meanwhile.

        WrongStateError if it was cancelled meanwhile. Returns the last reply; after an error
        nothing more is sent.
        """
        calls_off = self.exchange.calls_off
        async with self._turn:
            self.exchange.require_meant(calls_off)
            with self.doing(doing):
                return await self._send_pieces(pieces, calls_off, shows=shows, wait_s=wait_s)

    async def send_on(self, *lines: str, wait_s: float = REPLY_S) -> Reply:
        """As `send`, in the session that there is; SessionLostError where there is none."""
        async with self._turn:
            self._require_session()
            return await self._send_piece(lines, shows=True, wait_s=wait_s)

    def realtime(self, data: bytes) -> None:
        """Write real-time bytes ahead of all; raises SessionLostError."""
        if self._session is None:
            raise SessionLostError("there is no session")
        self.use.used(self._clock())
        if data != _REPORT:
            self.overrides.forget()
        self._session.write(data)

    def write_lines(self, *lines: str, shows: bool = False) -> asyncio.Future[Reply]:
        """Write lines at once, as one; raises WrongStateError while others have no reply yet.

        It does not wait for a turn: for callers that need to know when it was sent.
        """
        session = self._require_session()
        self.use.used(self._clock())
        done = self.exchange.begin(len(lines), shows=shows)
        self.overrides.forget()  # the end of a program resets them
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

    def port_seen(self, port: RemotePort) -> None:
        """Forget what firmware said that was reset, or is another machine's."""
        if port.state != "open":
            self.settings = {}
        if self.firmware_message and port.epoch != self._failed_epoch:
            self._failed("")

    @contextmanager
    def doing(self, activity: str) -> Iterator[None]:
        """Show what is being done until this ends; empty for nothing."""
        if not activity:
            yield
            return
        self._activities.append(activity)
        self._show_activity()
        try:
            yield
        finally:
            self._activities.remove(activity)
            self._show_activity()

    # What the session tells.

    def session_said(self, data: bytes) -> None:
        """Take bytes from the machine."""
        self.exchange.feed(data, self.its_port.profile)

    def session_port(self, port: RemotePort) -> None:
        """Note the port; what a stop or a reset ended has no reply any more."""
        before, self.port = self.port, port
        if before is not None and before.epoch != port.epoch:
            self.overrides.forget()
            self.exchange.reset()
            self.exchange.give_up(WrongStateError(condition.why_fenced(port)))
        if port_condition.is_other(before, port) and before is not None:
            self.console.add(Origin.NEWS, condition.news(port))
        if port.hold is not None or port.latched:
            self.holds.tell(condition.described(port))

    def session_asked(self, who: str) -> None:
        """Pass on that somebody asks for control."""
        self.console.add(Origin.NEWS, f"{who} asks for control")
        self._owner.control_asked(self, who)

    def session_ended(self, reason: str) -> None:
        """Fail the lines without a reply: it is unknown whether they were carried out."""
        self.console.add(Origin.FAILURE, f"control was lost: {reason}")
        session, self._session = self._session, None
        self.use.is_kept = False
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
        self.overrides.forget()
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
        self.console.add(Origin.NEWS, "the panel has control")
        self._keeping = asyncio.create_task(self._keep(session), name=f"control of {self.key}")
        with suppress(UsbshareError):
            await self._get_to_know()
        self._owner.control_changed(self)

    async def _get_to_know(self) -> None:
        """Wait until the machine answers, which opening its port may have reset, and ask it."""
        if self.its_port.profile.reports_state:
            await self.fresh_report(BOOT_S)
        if not self.its_port.latched:
            await self._read_settings()

    async def _read_settings(self) -> None:
        """Ask the machine for its settings; what does not answer so has none."""
        if not machine_settings.has_settings(self.its_port.profile):
            return
        ask = (machine_settings.ASK,)
        reply = await self._exchange(ask, shows=False, wait_s=SETTINGS_S)
        self.settings = machine_settings.told(reply.said)

    async def _leave(self, why: str) -> None:
        session, self._session = self._session, None
        if session is None:
            return
        self.exchange.give_up(WrongStateError(why))
        self._end_keeping()
        await session.close()
        self.console.add(Origin.NEWS, why)
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

    def _show_activity(self) -> None:
        self.activity = self._activities[-1] if self._activities else ""
        self._owner.control_changed(self)

    def _is_idle(self) -> bool:
        return not self._is_busy and self.use.is_idle(self._clock())

    @property
    def _is_busy(self) -> bool:
        return self.exchange.is_waiting or self._turn.locked() or not self._is_at_rest

    @property
    def _is_at_rest(self) -> bool:
        state = "" if self.report is None else self.report.state
        return state in _AT_REST and not self.activity

    async def _send_pieces(
        self, pieces: Iterable[Sequence[str]], calls_off: int, *, shows: bool, wait_s: float
    ) -> Reply:
        await self.take(is_kept=False)
        reply: Reply | None = None
        for lines in pieces:
            self.exchange.require_meant(calls_off)
            reply = await self._send_piece(lines, shows=shows, wait_s=wait_s)
            if not reply.is_ok:
                return reply
        self.exchange.require_meant(calls_off)
        return reply or Reply("ok", (), 0.0)

    async def _send_piece(self, lines: Sequence[str], *, shows: bool, wait_s: float) -> Reply:
        reply = await self._exchange(lines, shows=shows, wait_s=wait_s)
        if machine_settings.are_changed_by(lines):
            self.settings = {}  # GRBL resets after $RST, and then answers nothing
            with suppress(UsbshareError):
                await self._read_settings()
            self._owner.control_changed(self)
        return reply

    async def _exchange(self, lines: Sequence[str], *, shows: bool, wait_s: float) -> Reply:
        condition.require_released(self.its_port)
        self._require_awake()
        if shows:
            for line in lines:
                self.console.add(Origin.SENT, line)
        done = self.write_lines(*lines, shows=shows)
        try:
            async with asyncio.timeout(wait_s):
                reply = await done
        except TimeoutError as error:
            raise DeviceError(f"the machine did not reply within {wait_s:g} s") from error
        if shows:
            self.console.add(Origin.MACHINE, firmware_texts.explained(reply.text))
        return reply

    def _reported(self, report: MachineReport) -> None:
        self.report = report
        self.use.reported(self._clock(), at_rest=report.state in _AT_REST)
        self.overrides.reported(report)
        self._has_report.set()
        is_unlocked = report.state == "Idle" and self.firmware_message.startswith(_ALARM)
        if self.firmware_message and (report.state in _WELL or is_unlocked):
            self._failed("")
        self.reports.tell(report)

    def _failed(self, text: str) -> None:
        self._failed_epoch = 0 if self.port is None else self.port.epoch
        self.firmware_message = firmware_texts.explained(text)
        self._owner.control_changed(self)

    def _end_keeping(self) -> None:
        keeping, self._keeping = self._keeping, None
        if keeping is not None and keeping is not asyncio.current_task():
            keeping.cancel()

    def _require_awake(self) -> None:
        if self.report is not None and self.report.state == ASLEEP:
            raise WrongStateError("the machine sleeps and takes no line: reset it")

    def _require_session(self) -> Session:
        if self._session is None:
            raise SessionLostError("there is no session")
        return self._session
