"""The Protocol of a virtual COM port: what a program on this computer opens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from usbshare.line.settings import LineEvents, LineSettings, ModemLines


class VirtualPortListener(Protocol):
    """Receives the events of a virtual port; always called on the event loop that started it."""

    def program_wrote(self, data: bytes) -> None:
        """Take bytes that the program wrote, never empty."""

    def program_opened(self) -> None:
        """Note that a program opened the port (a hint: neighbours may be merged)."""

    def program_closed(self) -> None:
        """Note that the last program closed the port."""

    def program_configured(self, settings: LineSettings) -> None:
        """Note that the program changed settings; all of them, as far as the port carries them."""

    def program_set_lines(self, *, dtr: bool | None, rts: bool | None) -> None:
        """Note that the program changed output lines, where the port can carry them."""

    def program_set_break(self, *, on: bool, answered: Callable[[bool], None]) -> None:
        """Pass on that the program starts or ends a break, where the port can carry one.

        `answered` is called once, with whether the device did it.
        """

    def program_flushed(self, *, received: bool, written: bool) -> None:
        """Note that the program threw away what it received, or wrote and we have not read."""

    def port_writable(self) -> None:
        """Note that there is room again, after a `write` that took less than it was given."""

    def port_renamed(self, said: str) -> None:
        """Note that the port's name was gone: made again, perhaps elsewhere, or not."""

    def port_lost(self, reason: str) -> None:
        """Handle the permanent loss of the port; called once."""


class VirtualPort(Protocol):
    """A serial port that a program opens; used from one event loop only, never blocks it."""

    @property
    def path(self) -> str:
        """What the program opens."""
        ...

    def far_end_is(self, host: str, port_id: str) -> None:
        """Note what the port is joined to, where it can say so; before `start`."""

    async def start(self, listener: VirtualPortListener, settings: LineSettings) -> None:
        """Make the port with these settings on it and show it under its name.

        Raises ConfigError when the name is taken by something that is not ours.
        """

    def write(self, data: bytes) -> int:
        """Give the program as many bytes as fit now, return how many; less calls `port_writable`.

        While no program has the port open, everything is taken and discarded.
        """
        ...

    def limit_reading(self, most_bytes: int) -> None:
        """Pass at most so many bytes to each `program_wrote`; 0 makes the program wait."""

    def apply_settings(self, settings: LineSettings) -> None:
        """Show settings that took effect at the far end, if the port can; calls no listener."""

    def show_lines(self, lines: ModemLines) -> None:
        """Show the device's modem lines to the program, where the port can."""

    def show_events(self, events: LineEvents) -> None:
        """Show the program what befell the device's line, where the port can."""

    def hang_up(self) -> None:
        """Let the program see its port vanish as if the cable had been pulled.

        A new one is at the same path at once. Calls `program_closed` if a program had it open.
        """

    async def close(self) -> None:
        """Take the port and its name away; a program that has it open sees a hang-up."""
