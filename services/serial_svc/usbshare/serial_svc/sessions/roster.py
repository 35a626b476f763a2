"""Who is on a port: one session in control at most, and any number that observe."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NoReturn

from usbshare.base.errors import PortHeldError
from usbshare.serial_svc.sessions.client import Client, Holder, Mode, Resumption
from usbshare.serial_svc.sessions.control_outbox import ControlOutbox
from usbshare.serial_svc.sessions.events import SessionEvent
from usbshare.serial_svc.sessions.line_delivery import LineDelivery
from usbshare.serial_svc.sessions.link_watch import LinkWatch
from usbshare.serial_svc.sessions.session import Session


class SessionRoster:
    """The sessions of one port, in the order in which they came.

    `control_outbox` is that of the session in control, `watch` what watches it; `observers` is how
    many observe. Stops see it as the `Programs` that write to the line.
    """

    def __init__(self, port_id: str) -> None:
        self.control: Session | None = None
        self.watch: LinkWatch | None = None
        self.port_id = port_id
        self._sessions: dict[str, Session] = {}
        self.observers = 0
        self.control_outbox: ControlOutbox | None = None
        self._lines: LineDelivery | None = None

    def __iter__(self) -> Iterator[Session]:
        return iter(tuple(self._sessions.values()))

    def __len__(self) -> int:
        return len(self._sessions)

    def __contains__(self, session: Session) -> bool:
        return session.client.session_id in self._sessions

    @property
    def holder(self) -> Holder | None:
        """Who is in control."""
        return self.control.holder if self.control else None

    def is_to_resume(self, client: Client, resumption: Resumption | None) -> bool:
        """Return whether a client asks for the session in control, and it is its own."""
        held = self.control
        if resumption is None or held is None:
            return False
        return held.token == resumption.token and held.client.identity == client.identity

    def own_control(self, session_id: str, identity: str) -> Session | None:
        """Return that session if it is in control, and the identity's own."""
        held = self.control
        if held is None or held.client.session_id != session_id:
            return None
        return held if held.client.identity == identity else None

    def take_control(self, session: Session) -> None:
        """Reserve control; raises PortHeldError naming who has it."""
        if self.control is not None:
            self.refuse()
        self.control = session

    def refuse(self) -> NoReturn:
        """Raise PortHeldError naming who has control."""
        raise PortHeldError(
            f"port '{self.port_id}' is held by {self.holder}; it can still be observed"
        )

    def give_up_control(self, session: Session) -> bool:
        """Free control; False if the session did not have it."""
        had_it = self.control is session
        if had_it:
            self.control = None
        return had_it

    def add(self, session: Session, watch: LinkWatch | None) -> None:
        """Add a session; the one in control is watched."""
        self.watch = watch or self.watch
        self._sessions[session.client.session_id] = session
        self.observers += session.client.mode is Mode.OBSERVE
        self._find_outbox()

    def watch_of(self, session: Session) -> LinkWatch | None:
        """Return what watches a session: that in control alone is watched."""
        return self.watch if session is self.control else None

    def remove(self, session: Session) -> bool:
        """Remove a session and its watch; False if there was no such session."""
        if self._sessions.pop(session.client.session_id, None) is None:
            return False
        if session is self.control:
            self.watch = None
        self.observers -= session.client.mode is Mode.OBSERVE
        self._find_outbox()
        return True

    def tell(self, event: SessionEvent) -> None:
        """Notify every session."""
        for session in self._sessions.values():
            session.outbox.put(event)

    def line_changed(self) -> None:
        """Let every session know that the line's rate may be another."""
        for session in self._sessions.values():
            session.line_changed()

    # As stops see it.

    @property
    def awaits_replies(self) -> bool:
        """Whether lines of the session in control wait, or replies to them."""
        lines = self._lines
        return lines is not None and lines.is_busy

    def overtaken(self, lines: int) -> None:
        """Note that so many urgent lines were written, which the firmware replies to."""
        if self._lines is not None:
            self._lines.overtaken(lines)

    def machine_reset(self) -> None:
        """Note that the machine was reset: it replies to nothing of before."""
        if self._lines is not None:
            self._lines.machine_reset()

    @property
    def is_away(self) -> bool:
        """Whether the client in control is lost."""
        return self.watch is not None and self.watch.is_lost

    @property
    def waiting_commands(self) -> int:
        """How many commands of the session in control wait."""
        return self.watch.waiting_commands() if self.watch else 0

    def hold(self) -> bool:
        """Let nothing of the session in control go out; False if there is none."""
        if self.watch is None:
            return False
        self.watch.hold()
        return True

    def release(self) -> None:
        """Let what is held go out, if its client is there: a stop left nothing of before."""
        if self.watch is not None:
            self.watch.release()

    def resume(self) -> None:
        """Let what is held go out, if its client is there: a person decided so."""
        if self.watch is not None:
            self.watch.resume()

    def rested(self) -> None:
        """Note that the machine has nothing left to do of what the session wrote."""
        if self.watch is not None:
            self.watch.rested()

    def _find_outbox(self) -> None:
        control = self.control
        is_here = control is not None and control in self
        self.control_outbox = control.controlled if control and is_here else None
        self._lines = control.lines if control and is_here else None
