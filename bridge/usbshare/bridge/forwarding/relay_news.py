"""What a person is told of a session: its beginning and end, what was lost, what is held."""

from __future__ import annotations

from usbshare.bridge.forwarding.report import Reporter
from usbshare.bridge.stop import coverage
from usbshare.client.serial import port_condition
from usbshare.client.serial.messages import (
    AskedEvent,
    Event,
    OpenedEvent,
    OperationEvent,
    RemotePort,
    ResultEvent,
)
from usbshare.client.serial.resumption import Loss, Resumed


class RelayNews:
    """Reports each event once; `lost_bytes` counts what did not arrive, in either direction."""

    def __init__(self, reporter: Reporter) -> None:
        self.lost_bytes = 0
        self._reporter = reporter
        self._why_not_done = ""

    # The virtual port.

    def opened(self, path: str) -> None:
        """Report a program that came."""
        self._reporter.event("opened", f"a program opened {path}", path=path)

    def closed(self, path: str) -> None:
        """Report a program that left."""
        self._reporter.event("closed", f"{path} was closed", path=path)

    def renamed(self, path: str, said: str) -> None:
        """Report what happened to the virtual port's name."""
        self._reporter.event("renamed", said, path=path)

    def port_lost(self, path: str, reason: str) -> None:
        """Report that the virtual port is gone."""
        self._reporter.event("port_lost", f"{path} is gone: {reason}")

    def hung_up(self, path: str, why: str) -> None:
        """Report that the port was taken away from its program."""
        self._reporter.event("hung_up", f"{path} was hung up: {why}", reason=why)

    # The session.

    def connected(self, opened: OpenedEvent) -> None:
        """Report a new session."""
        port = opened.port
        text = f"connected to port '{port.id}' ({port.description or 'no description'})"
        self._reporter.event("connected", text, port=port.id, session=opened.session_id)

    def resumed(self, opened: OpenedEvent, resumed: Resumed, waiting_bytes: int) -> None:
        """Report that the session continues, and what of the program is still to be sent."""
        text = f"session resumed after {resumed.away_s:.1f} s"
        if resumed.resent_bytes:
            text += f": {resumed.resent_bytes} bytes of the program are sent again"
        if waiting_bytes:
            text += f"; {waiting_bytes} bytes of the program are waiting here"
        self._reporter.event(
            "resumed",
            text,
            away_s=round(resumed.away_s, 3),
            resent_bytes=resumed.resent_bytes,
            waiting_bytes=waiting_bytes,
            held=opened.port.held,
        )

    def link_lost(self, reason: str, window_s: float) -> None:
        """Report that the link is down, and for how long nothing is lost by that."""
        note = f"; nothing is lost if it is back within {window_s:g} s" if window_s else ""
        self._reporter.event("lost", f"link lost: {reason}{note}", window_s=window_s)

    def shut_out(self, reason: str) -> None:
        """Report that the host has ended the session."""
        self._reporter.event("shut_out", "the host has ended this session", reason=reason)

    def waiting(self, wait_s: float, reason: str) -> None:
        """Report the next attempt to connect."""
        text = f"connecting again in {wait_s:.1f} s ({reason})"
        self._reporter.event("waiting", text, wait_s=round(wait_s, 3), reason=reason)

    def not_resumed(self, loss: Loss, missed: int | None) -> None:
        """Report what the end of a session cost; None is an unknown number."""
        unknown = "an unknown number of" if missed is None else missed
        self._reporter.event(
            "not_resumed",
            f"the session could not be resumed ({loss.why}): {loss.program_bytes} bytes of the "
            f"program are lost or in doubt, {unknown} bytes of the device were missed",
            program_bytes=loss.program_bytes,
            device_bytes=missed,
            reason=loss.why,
        )

    def lose(self, size: int, why: str) -> None:
        """Count bytes that are lost; the first time, report why."""
        if self.lost_bytes == 0:
            self._reporter.event("losing", why)
        self.lost_bytes += size

    def count_lost(self, size: int) -> None:
        """Count bytes whose loss is reported otherwise, or that nobody wants any more."""
        self.lost_bytes += size

    def event(self, event: Event) -> None:
        """Report an event of the service, if people are told of it."""
        match event:
            case AskedEvent():
                text = f"{event.who} asks for control: to hand it over, end this bridge (Ctrl-C)"
                self._reporter.event("asked", text, who=event.who)
            case ResultEvent() if event.outcome != "flushed":  # that was the program's own wish
                self._reporter.event("refused", f"bytes were {event.outcome}: {event.message}")
            case OperationEvent() if event.outcome not in ("ok", "assumed success"):
                self._reporter.event("not_done", f"the port said {event.outcome}: {event.message}")

    def line_done(self, event: ResultEvent) -> None:
        """Report lines that never reached the firmware, those in a row with one reason once."""
        is_told = event.outcome in ("refused", "fenced", "failed")
        why = f"lines were {event.outcome}: {event.message}" if is_told else ""
        if why and why != self._why_not_done:
            self._reporter.event("refused", why)
        self._why_not_done = why

    # The remote port.

    def port_changed(self, before: RemotePort | None, port: RemotePort) -> None:
        """Report when the port's device comes or goes, or the port is latched or not any more."""
        if before is None or (before.state, before.latched) == (port.state, port.latched):
            return
        latch = ", latched" if port.latched else ""
        reason = f": {port.reason}" if port.reason else ""
        self._reporter.event(
            "port", f"port '{port.id}' is {port.state}{latch}{reason}", state=port.state
        )

    def stop_bytes(self, before: RemotePort | None, port: RemotePort) -> None:
        """Warn once if the port carries G-code but a stop has no bytes of the firmware's own."""
        told = coverage.sentence(before) if before is not None else ""
        text = coverage.sentence(port)
        if text and text != told:
            self._reporter.event("stop_bytes", text, **coverage.fields(port))

    def condition(self, before: RemotePort | None, port: RemotePort) -> None:
        """Report when something becomes held or latched, and when it no longer is."""
        if port_condition.is_other(before, port):
            name, text = port_condition.news(port)
            self._reporter.event(name, text, **port_condition.fields(port))
