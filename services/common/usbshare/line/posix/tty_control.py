"""Which terminal calls this POSIX system has: one Protocol, one file per system behind it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Protocol

from usbshare.base.errors import InvalidArgumentError
from usbshare.line.posix.termios_settings import (
    Termios,
    raw,
    refused_settings,
    settings_of,
    with_settings,
)
from usbshare.line.settings import LineSettings

if sys.platform == "darwin":
    from usbshare.line.posix.macos_tty import MacosTty as SystemTty
else:
    from usbshare.line.posix.linux_tty import LinuxTty as SystemTty


class TtyControl(Protocol):
    """Terminal calls that differ between systems; each may raise OSError."""

    @property
    def stick_parity(self) -> int:
        """The flag for mark and space parity, 0 where there is none."""
        ...

    @property
    def external_processing(self) -> int:
        """The flag that hands line editing and echo to a pty's master."""
        ...

    @property
    def start_break(self) -> int:
        """The request that starts a break."""
        ...

    @property
    def end_break(self) -> int:
        """The request that ends a break."""
        ...

    def read(self, descriptor: int) -> Termios:
        """Read all settings at once; of a pty's master, those of its slave."""
        ...

    def write(self, descriptor: int, wanted: Termios) -> None:
        """Change all settings without waiting; the driver keeps those it can."""

    def set_low_latency(self, descriptor: int) -> bool | None:
        """Ask the adapter to hand bytes over at once; return whether it does, None if unknown."""
        ...

    def has_line_rate(self, descriptor: int) -> bool:
        """Return whether the baud rate bounds what leaves, as `Device` says."""
        ...

    def is_pty(self, descriptor: int) -> bool:
        """Return whether the descriptor is a pty's slave, which has no line behind it."""
        ...


@dataclass(frozen=True, slots=True)
class Tty:
    """A terminal's descriptor with the line settings on it; does not own the descriptor."""

    descriptor: int
    control: TtyControl

    def settings(self) -> LineSettings:
        """Read the settings in force."""
        return settings_of(self.control.read(self.descriptor), self.control.stick_parity)

    def configure(self, settings: LineSettings) -> LineSettings:
        """Change all in one step and make the line raw; what is refused changes nothing.

        Returns what took effect; raises InvalidArgumentError that names what was refused.
        """
        before = self.control.read(self.descriptor)
        wanted = with_settings(raw(before), settings, self.control.stick_parity)
        self.control.write(self.descriptor, wanted)
        found = self.settings()
        if refused := refused_settings(settings, found):
            self.control.write(self.descriptor, before)
            raise InvalidArgumentError(f"the device refuses {', '.join(refused)}")
        return found


def system_tty() -> TtyControl:
    """Return the terminal calls of this system."""
    return SystemTty()
