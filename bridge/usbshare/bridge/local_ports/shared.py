"""One remote port for several local ports, of which one program at a time is served."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from usbshare.base.errors import PortHeldError
from usbshare.bridge.local_ports.program_connection import READ_BYTES
from usbshare.bridge.local_ports.tcp import TcpPort
from usbshare.bridge.local_ports.udp import UdpPort
from usbshare.bridge.local_ports.virtual_port import VirtualPort, VirtualPortListener
from usbshare.line.settings import LineEvents, LineSettings, ModemLines


class SharedPortOwner(Protocol):
    """Whom a shared port tells."""

    def device_said(self, data: bytes) -> None:
        """Take bytes of the device, whoever they are for."""

    def was_hung_up(self) -> None:
        """Note that what was written is void: nobody must carry on."""

    def told(self, text: str) -> None:
        """Take news of a local port, for people."""


class SharedPort:
    """VirtualPort over local ports that come and go, and lines that the owner writes itself.

    The first program that opens one of them is served; one that opens another is hung up.
    """

    path = "the console"

    def __init__(self, owner: SharedPortOwner) -> None:
        self._owner = owner
        self._ports: dict[str, VirtualPort] = {}
        self._served: VirtualPort | None = None
        self._owner_writes = False
        self._most_bytes = READ_BYTES
        self._settings = LineSettings()
        self._lines: ModemLines | None = None
        self._listener: VirtualPortListener

    @property
    def paths(self) -> list[str]:
        """What programs can open."""
        return list(self._ports)

    @property
    def served_path(self) -> str:
        """What the program that is served has opened; empty while there is none."""
        return "" if self._served is None else self._served.path

    async def add(self, port: VirtualPort) -> str:
        """Start a local port and return its path; raises ConfigError."""
        await port.start(_One(self, port, self._owner), self._settings)
        if self._lines is not None:
            port.show_lines(self._lines)
        self._ports[port.path] = port
        return port.path

    async def remove(self, path: str) -> VirtualPort | None:
        """Close a local port and return it; None where there is none of that path."""
        port = self._ports.pop(path, None)
        if port is not None:
            await port.close()
        return port

    def begin_line(self) -> None:
        """Keep programs away while a line of the owner is answered; raises PortHeldError."""
        if self._is_served():
            raise PortHeldError(
                f"the program at {self.served_path} is using the port: close it first; "
                "`hold` and `stop` work at any time"
            )
        self._owner_writes = True

    def write_line(self, data: bytes) -> None:
        """Pass on a line of the owner, after `begin_line`."""
        self._listener.program_wrote(data)

    def end_line(self) -> None:
        """Let programs come again."""
        self._owner_writes = False

    # What the session calls.

    def far_end_is(self, host: str, port_id: str) -> None:
        """Do nothing: its local ports come later."""

    async def start(self, listener: VirtualPortListener, settings: LineSettings) -> None:
        """Begin to pass bytes on."""
        self._listener, self._settings = listener, settings

    def write(self, data: bytes) -> int:
        """Give the program that is served as many bytes as fit; the owner sees the same."""
        taken = len(data) if self._served is None else self._served.write(data)
        if taken:
            self._owner.device_said(data[:taken])
        return taken

    def limit_reading(self, most_bytes: int) -> None:
        """Pass at most so many bytes on at once."""
        self._most_bytes = most_bytes
        if self._served is not None:
            self._served.limit_reading(most_bytes)

    def apply_settings(self, settings: LineSettings) -> None:
        """Show settings that took effect."""
        self._settings = settings
        for port in self._ports.values():
            port.apply_settings(settings)

    def show_lines(self, lines: ModemLines) -> None:
        """Show the device's modem lines."""
        self._lines = lines
        for port in self._ports.values():
            port.show_lines(lines)

    def show_events(self, events: LineEvents) -> None:
        """Show the program that is served what befell the line."""
        if self._served is not None:
            self._served.show_events(events)

    def hang_up(self) -> None:
        """Let the program that is served see its port vanish, and the owner know."""
        if self._served is not None:
            self._served.hang_up()
        self._owner.was_hung_up()

    async def close(self) -> None:
        """Close every local port."""
        ports, self._ports = list(self._ports.values()), {}
        for port in ports:
            await port.close()
            self._owner.told(f"{port.path} is closed")

    # What local ports call, each through a listener of its own.

    def opened(self, port: VirtualPort) -> None:
        """Serve a program, or hang it up while another one, or the owner, is served."""
        if self._is_served() or self._owner_writes:
            other = self.served_path or "a line of the console"
            self._owner.told(f"hung up the program at {port.path}: {other} is using the port")
            port.hang_up()
            return
        self._served = port
        self._owner.told(f"a program opened {port.path}")
        self._listener.program_opened()
        port.limit_reading(self._most_bytes)

    def closed(self, port: VirtualPort) -> None:
        """Note that a program left."""
        if port is self._served:
            self._served = None
            self._owner.told(f"{port.path} was closed")
            self._listener.program_closed()

    def of(self, port: VirtualPort) -> VirtualPortListener | None:
        """Return whom the port that is served tells, None for any other."""
        return self._listener if port is self._served else None

    def lost(self, port: VirtualPort, reason: str) -> None:
        """Note that a local port is gone for good."""
        self._ports.pop(port.path, None)
        self.closed(port)
        self._owner.told(f"{port.path} is gone: {reason}")

    def _is_served(self) -> bool:
        """Return whether a program is served that is still there."""
        if isinstance(self._served, TcpPort | UdpPort) and self._served.is_left:
            self._served.hang_up()
        return self._served is not None


class _One:
    """VirtualPortListener of one of the local ports."""

    def __init__(self, shared: SharedPort, port: VirtualPort, owner: SharedPortOwner) -> None:
        self._shared = shared
        self._port = port
        self._owner = owner

    @property
    def _to(self) -> VirtualPortListener | None:
        return self._shared.of(self._port)

    def program_wrote(self, data: bytes) -> None:
        """Pass bytes on; those of a program that is being hung up are dropped."""
        if (to := self._to) is not None:
            to.program_wrote(data)

    def program_opened(self) -> None:
        """Ask to be served."""
        self._shared.opened(self._port)

    def program_closed(self) -> None:
        """Pass on that the program left."""
        self._shared.closed(self._port)

    def program_configured(self, settings: LineSettings) -> None:
        """Pass settings on."""
        if (to := self._to) is not None:
            to.program_configured(settings)

    def program_set_lines(self, *, dtr: bool | None, rts: bool | None) -> None:
        """Pass output lines on."""
        if (to := self._to) is not None:
            to.program_set_lines(dtr=dtr, rts=rts)

    def program_set_break(self, *, on: bool, answered: Callable[[bool], None]) -> None:
        """Pass a break on."""
        if (to := self._to) is None:
            answered(False)
        else:
            to.program_set_break(on=on, answered=answered)

    def program_flushed(self, *, received: bool, written: bool) -> None:
        """Pass on what was discarded."""
        if (to := self._to) is not None:
            to.program_flushed(received=received, written=written)

    def port_writable(self) -> None:
        """Pass on that there is room again."""
        if (to := self._to) is not None:
            to.port_writable()

    def port_renamed(self, said: str) -> None:
        """Pass on what became of the port's name."""
        self._owner.told(said)

    def port_lost(self, reason: str) -> None:
        """Pass on that the port is gone; the others stay."""
        self._shared.lost(self._port, reason)
