"""A virtual port over a pty: what Linux and macOS share; how programs are noticed differs."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import struct
import termios
from abc import ABC, abstractmethod
from dataclasses import replace

from usbshare.base.errors import ConfigError
from usbshare.base.threads import begin, in_thread
from usbshare.bridge.local_ports.virtual_port import VirtualPortListener
from usbshare.line.name_link import NameLink
from usbshare.line.posix.termios_settings import raw, settings_of, with_settings
from usbshare.line.posix.tty_control import system_tty
from usbshare.line.settings import LineEvents, LineSettings, ModemLines

_log = logging.getLogger(__name__)

_READ_BYTES = 4095
_SETTINGS_CHANGED = 0x40  # TIOCPKT_IOCTL: sent because EXTPROC is set
_NONE = -1
REMOVE_TIMEOUT_S = 1.0
LOOK_AFTER_NAME_S = 5.0


class PtyPort(ABC):
    """VirtualPort over a pty; a system's subclass says when programs come and go.

    A pty carries no parity and no 7 data bits (the kernel refuses them to the program): those of
    `start` and `apply_settings` are reported unchanged. It carries no modem lines and no break.
    While reading is paused, changes of settings and flushes wait as well.
    """

    def __init__(self, name: str) -> None:
        self._link = NameLink(name)
        self._control = system_tty()
        self._settings = LineSettings()
        self._master = self._slave = _NONE
        self._slave_path = ""
        self._has_program = False
        self._is_up = True
        self._is_hung_up = False
        self._is_paused = False
        self._is_reading = False
        self._most_bytes = _READ_BYTES
        self._looking_after: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop
        self._listener: VirtualPortListener

    @property
    def path(self) -> str:
        """What the program opens."""
        return str(self._link.path)

    def far_end_is(self, host: str, port_id: str) -> None:  # noqa: B027  # no system has more to do
        """Do nothing: a pty has no description."""

    async def start(self, listener: VirtualPortListener, settings: LineSettings) -> None:
        """Make the pty with these settings on it, then show it; raises ConfigError."""
        self._loop, self._listener = asyncio.get_running_loop(), listener
        self._link.claim()
        try:
            self._appear(settings)
        except BaseException:
            self._end()
            raise
        self._looking_after = asyncio.create_task(self._look_after_name(), name="port's name")
        _log.info("virtual port ready: %s -> %s", self._link.path, self._slave_path)

    def write(self, data: bytes) -> int:
        """Give the program as many bytes as fit now, return how many; less calls `port_writable`.

        While no program has the port open, everything is taken and discarded.
        """
        if not self._has_program:
            self._look_for_program()
        if not self._has_program:
            return len(data)
        try:
            taken = os.write(self._master, data)
        except BlockingIOError:
            taken = 0
        except OSError:  # the program is just going, and the reader will see it
            return len(data)
        if taken < len(data):
            self._loop.add_writer(self._master, self._on_writable)
        return taken

    def limit_reading(self, most_bytes: int) -> None:
        """Pass at most so many bytes to each `program_wrote`; 0 makes the program wait.

        A program that must wait can still write some 16 KiB, which the pty holds.
        """
        self._most_bytes = min(most_bytes, _READ_BYTES)
        was_paused, self._is_paused = self._is_paused, most_bytes == 0
        if self._is_paused:
            self._stop_reader()
        elif was_paused:
            self._resume()

    def apply_settings(self, settings: LineSettings) -> None:
        """Show settings that took effect at the far end; calls no listener."""
        if self._master == _NONE:
            return
        before = self._control.read(self._master)
        if self._has_program and self._carried(settings_of(before, 0)) != self._settings:
            return  # the program has changed them again meanwhile, and will be noticed
        carried = replace(settings, parity=_CARRIED.parity, data_bits=_CARRIED.data_bits)
        self._control.write(self._master, with_settings(before, carried, 0))
        self._settings = settings

    def show_lines(self, lines: ModemLines) -> None:  # noqa: B027  # no system has more to do
        """Do nothing: a pty has no modem lines."""

    def show_events(self, events: LineEvents) -> None:  # noqa: B027  # no system has more to do
        """Do nothing: a pty carries no line events."""

    def hang_up(self) -> None:
        """Put a fresh pty under the name, then end the old one: its program sees end of file.

        What that program wrote and was not read is void. Not from within a listener's method.
        """
        if self._master == _NONE:
            return
        had_program, before = self._has_program, self._let_go()
        try:
            self._appear(self._settings)
        except (OSError, ConfigError) as error:
            self._lose(str(error))
            return
        finally:
            _close_all(before)
        _log.info("virtual port hung up: %s -> %s", self._link.path, self._slave_path)
        if had_program:
            self._listener.program_closed()

    async def close(self) -> None:
        """Take the name away, then the pty; a program that has it open sees a hang-up.

        The name may be on a disk that hangs: then it is left, and leads nowhere once we are gone.
        """
        self._stop_looking_after()
        await asyncio.wait([begin(self._link.remove)], timeout=REMOVE_TIMEOUT_S)
        self._close_pty()

    # What a subclass provides.

    @abstractmethod
    def _watch(self) -> None:
        """Begin to notice programs."""

    @abstractmethod
    def _unwatch(self) -> None:
        """Stop noticing programs."""

    @abstractmethod
    def _wants_reader(self) -> bool:
        """Return whether the master shall be watched for bytes now."""

    @abstractmethod
    def _somebody_seen(self) -> None:
        """Note that there is something to read though no program is known to be there."""

    @abstractmethod
    def _hung_up(self) -> None:
        """Note that the master reads end of file."""

    def _look_for_program(self) -> None:  # noqa: B027  # not every system has a better way to see
        """Make sure that no program has it open, before bytes are discarded."""

    # What a subclass calls.

    def _program_came(self) -> None:
        self._has_program = True
        _log.info("program opened %s", self._link.path)
        self._forget_stale_input()
        self._listener.program_opened()
        if self._master != _NONE:
            self._note_settings()

    def _program_went(self) -> None:
        """Deliver what it left, unless paused, then report that it has gone."""
        while not self._is_paused and self._read_once():
            pass
        if self._master == _NONE:
            return
        self._has_program = False
        self._forget_stale_input()
        _log.info("program closed %s", self._link.path)
        self._listener.program_closed()

    def _lose(self, why: str) -> None:
        path = self.path
        self._end()
        self._listener.port_lost(f"the virtual port {path} is gone: {why}")

    def _resume(self) -> None:
        if self._master != _NONE and self._wants_reader():
            self._start_reader()

    def _start_reader(self) -> None:
        if not self._is_reading and not self._is_paused:
            self._loop.add_reader(self._master, self._on_readable)
            self._is_reading = True

    def _stop_reader(self) -> None:
        if self._is_reading:
            self._loop.remove_reader(self._master)
        self._is_reading = False

    def _read_once(self) -> bool:
        """Read and report once; False if there is nothing, or no program."""
        data = self._read()
        if data:
            self._tell(data)
        return bool(data) and self._master != _NONE

    def _read(self) -> bytes:
        """Return what there is, with its leading status byte, and note whether anybody is there."""
        try:
            data = os.read(self._master, self._most_bytes + 1)
        except (BlockingIOError, InterruptedError):
            self._is_hung_up = False
            return b""
        except OSError:
            data = b""
        self._is_hung_up = not data
        return data

    def _tell(self, data: bytes) -> None:
        # In packet mode the first byte says what follows: 0 for bytes, else what happened.
        status, data = data[0], data[1:]
        if data:
            self._listener.program_wrote(data)
        elif status:
            self._note_status(status)

    # What is left is this class's own.

    def _appear(self, settings: LineSettings) -> None:
        """Make a pty and show it under the name, in the place of the one before."""
        self._make_pty(settings)
        self._watch()
        self._link.show(self._slave_path)

    def _make_pty(self, settings: LineSettings) -> None:
        self._master, self._slave = os.openpty()
        self._slave_path = os.ttyname(self._slave)
        os.set_blocking(self._master, False)
        os.fchmod(self._slave, 0o600)
        self._settings = settings
        prepared = raw(self._control.read(self._master))
        self._control.write(
            self._master,
            replace(prepared, lflag=prepared.lflag | self._control.external_processing),
        )
        self.apply_settings(settings)
        self._set_packet_mode(on=True)

    def _set_packet_mode(self, *, on: bool) -> None:
        fcntl.ioctl(self._master, termios.TIOCPKT, struct.pack("i", on))

    def _on_readable(self) -> None:
        if not self._has_program:
            self._somebody_seen()
            if not self._is_reading:
                return
        if data := self._read():
            self._tell(data)
        elif self._is_hung_up:
            self._hung_up()

    def _on_writable(self) -> None:
        self._loop.remove_writer(self._master)
        self._listener.port_writable()

    def _note_status(self, status: int) -> None:
        if status & _SETTINGS_CHANGED:
            self._note_settings()
        received = bool(status & termios.TIOCPKT_FLUSHREAD)
        written = bool(status & termios.TIOCPKT_FLUSHWRITE)
        if received or written:
            self._listener.program_flushed(received=received, written=written)

    def _note_settings(self) -> None:
        """Report settings that differ from the last; keep EXTPROC, without which none are seen."""
        found = self._control.read(self._master)
        external = self._control.external_processing
        if not found.lflag & external or found.oflag & termios.OPOST:
            kept = replace(found, lflag=found.lflag | external, oflag=found.oflag & ~termios.OPOST)
            self._control.write(self._master, kept)
        self._note_hang_up(is_up=bool(found.baud))
        settings = self._carried(settings_of(found, 0))
        if found.baud and settings != self._settings:
            self._settings = settings
            self._listener.program_configured(settings)

    def _note_hang_up(self, *, is_up: bool) -> None:
        # Baud 0 is how POSIX programs drop DTR and RTS; any other rate raises them again.
        if is_up != self._is_up:
            self._is_up = is_up
            self._listener.program_set_lines(dtr=is_up, rts=is_up)

    def _carried(self, found: LineSettings) -> LineSettings:
        """Complete what the pty shows with what it cannot."""
        known = self._settings
        stop_bits = known.stop_bits if known.stop_bits == 1.5 < found.stop_bits else found.stop_bits
        return replace(found, parity=known.parity, data_bits=known.data_bits, stop_bits=stop_bits)

    def _forget_stale_input(self) -> None:
        """Empty what the program did not read, without reporting the flush as the program's."""
        if self._slave == _NONE:
            return
        self._set_packet_mode(on=False)
        termios.tcflush(self._slave, termios.TCIFLUSH)
        self._set_packet_mode(on=True)

    async def _look_after_name(self) -> None:
        while True:
            await asyncio.sleep(LOOK_AFTER_NAME_S)
            if said := await in_thread(self._link.look_after):
                self._listener.port_renamed(said)

    def _stop_looking_after(self) -> None:
        if self._looking_after is not None:
            self._looking_after.cancel()

    def _end(self) -> None:
        self._stop_looking_after()
        begin(self._link.remove)
        self._close_pty()

    def _close_pty(self) -> None:
        if self._master != _NONE:
            _close_all(self._let_go())

    def _let_go(self) -> tuple[int, int]:
        """Watch the pty no more; returns its descriptors, which are still to be closed."""
        self._unwatch()
        self._stop_reader()
        self._loop.remove_writer(self._master)
        descriptors = self._slave, self._master
        self._master = self._slave = _NONE
        self._has_program = self._is_hung_up = False
        return descriptors


def _close_all(descriptors: tuple[int, ...]) -> None:
    for descriptor in descriptors:
        if descriptor != _NONE:
            os.close(descriptor)


_CARRIED = LineSettings()
