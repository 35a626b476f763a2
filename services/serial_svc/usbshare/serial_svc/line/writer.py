"""Writes to one device: the best command in slices, urgent bytes ahead of everything.

Small commands that follow one another with nothing between them share a write.

`pump` runs on the event loop to its end and is called by whatever may have changed something
(a command came, the device has room, line time has passed), so no lock and no hand-off stands
between a command and the device.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from math import inf
from typing import Protocol

from usbshare.base.errors import DeviceError
from usbshare.line.settings import Device, FlowControl
from usbshare.serial_svc.line.counters import PortCounters
from usbshare.serial_svc.line.pacer import Pacer
from usbshare.serial_svc.line.scheduler import Queued, Scheduler
from usbshare.serial_svc.line.stall import Stall

LONGEST_POLITE_WAIT_S = 0.050
MOST_URGENT_BYTES = 1024
MOST_POLITE_BYTES = 16  # a stop that comes after them waits for them
LEAVES_WITHIN_S = 1.0  # the driver has sent an urgent byte by then, on a slow host too


class WriterListener(Protocol):
    """Receives the events of a writer."""

    def command_written(self, command: Queued, now: float) -> None:
        """Note that a command went out whole."""

    def write_progressed(self) -> None:
        """Note that bytes left the queue."""

    def device_lost(self, reason: str) -> None:
        """Note that the device refused a write permanently."""


class PortWriter:
    """The only one who writes to the device; used from the event loop only."""

    def __init__(
        self,
        port_id: str,
        scheduler: Scheduler,
        pacer: Pacer,
        counters: PortCounters,
        clock: Callable[[], float],
        listener: WriterListener,
        on_program: Callable[[bytes, float], None] = lambda *_: None,
        write_timeout_s: float = 0.0,
        on_urgent: Callable[[bytes, float], None] = lambda *_: None,
    ) -> None:
        self._port_id = port_id
        self._scheduler = scheduler
        self._pacer = pacer
        self._counters = counters
        self._clock = clock
        self._listener = listener
        self._on_program = on_program
        self._on_urgent = on_urgent
        self._write_timeout_s = write_timeout_s
        self._stall = Stall(write_timeout_s, clock, self._stalled)
        self._device: Device | None = None
        self._urgent = bytearray()
        self._polite = bytearray()
        self._polite_due = 0.0
        self._urgent_at = -inf
        self._blocked = False
        self._timer: asyncio.TimerHandle | None = None
        self._last_byte = b""

    @property
    def line_is_open(self) -> bool:
        """Return whether the last byte written left a line unfinished, or none is known."""
        return self._last_byte not in (b"\n", b"\r")

    @property
    def urgent_waits(self) -> bool:
        """Return whether the device has not taken all urgent bytes."""
        return bool(self._urgent)

    def line_is_void(self) -> None:
        """Note that the device was reset: it holds no beginning of a line."""
        self._last_byte = b"\n"

    def attach(self, device: Device) -> None:
        """Write to this device from now on."""
        self._device = device
        self._blocked = False
        self._last_byte = b""
        self.rate_changed(device.settings.bytes_per_s)

    def detach(self) -> None:
        """Stop writing; urgent bytes for the lost device are void."""
        self._device = None
        self._urgent.clear()
        self._polite.clear()
        self._stop_timer()
        self._stall.end()

    def rate_changed(self, bytes_per_s: float) -> None:
        """Pace at this rate from now on; what was written at another has left."""
        device = self._device
        self._pacer.reset()
        self._pacer.set_rate(
            bytes_per_s,
            has_line_rate=device is None or device.has_line_rate,
            is_paced=device is not None and device.paces_itself,
        )
        self.pump()

    def urgent(self, data: bytes) -> None:
        """Write bytes ahead of everything, at once if the device accepts them, else as the first.

        Earlier polite ones keep their place. Raises DeviceError when there is no device, it fails,
        or too much waits already, naming the port.
        """
        if self._device is None:
            raise self._refusal("there is no device")
        if len(self._urgent) + len(data) > MOST_URGENT_BYTES:
            raise self._refusal("the device accepts no bytes")
        self._urgent += self._polite + data
        self._polite.clear()
        self._urgent_at = self._clock()
        self._write_urgent()
        if self._device is None:
            raise self._refusal("the device failed")

    def _refusal(self, why: str) -> DeviceError:
        return DeviceError(f"port '{self._port_id}': {why}")

    def write_through(self, data: bytes) -> int:
        """Write a command at once if nothing waits and all of it may go; returns bytes taken."""
        device, size = self._device, len(data)
        if device is None or self._blocked or self._scheduler.commands:
            return 0
        if self._urgent or self._polite:
            return 0
        now = self._clock()
        try:
            unsent = device.unsent_bytes()
        except DeviceError as error:
            self._failed(error)
            return 0
        if self._pacer.allowance(now, unsent, size) < size:
            return 0
        taken = self._hand_over(device, data, now)
        self._on_program(data[:taken], now)
        if taken == size:
            self._counters.wrote_through(now)
        return taken

    def polite(self, data: bytes) -> None:
        """Write bytes when no command waits, after 50 ms at the latest; void without a device."""
        data = data[: MOST_POLITE_BYTES - len(self._polite)]
        if self._device is None or not data:
            return
        if not self._polite:
            self._polite_due = self._clock() + LONGEST_POLITE_WAIT_S
        self._polite += data
        self.pump()

    def discard(self) -> None:
        """Discard the bytes in the device's driver, and urgent ones that wait."""
        self._urgent.clear()
        self._discard_polite_and_driver()

    def discard_program(self) -> None:
        """Discard at a program's request; urgent bytes are kept, in the driver too.

        A driver discards everything or nothing: it keeps the little before an urgent byte.
        """
        is_in_driver = not self._urgent and self._clock() - self._urgent_at < LEAVES_WITHIN_S
        if not is_in_driver:
            self._discard_polite_and_driver()

    def _discard_polite_and_driver(self) -> None:
        self._polite.clear()
        self._stall.rests()
        if self._device is not None:
            try:
                self._device.discard_output()
            except DeviceError as error:
                self._listener.device_lost(str(error))
        self._pacer.reset()
        self._blocked = False

    def writable(self) -> None:
        """Continue after the device reported room."""
        self._blocked = False
        self._write_urgent()
        self.pump()

    def pump(self) -> None:
        """Write what is allowed now and schedule a call for the rest."""
        self._stop_timer()
        if not self._blocked:
            self._write_urgent()
        while self._device is not None and not self._blocked:
            now = self._clock()
            command = self._scheduler.current(now)
            if self._polite and (command is None or now >= self._polite_due):
                self._urgent += self._polite
                self._polite.clear()
                self._write_urgent()
                continue
            if command is None:
                self._stall.rests()
                return
            if not self._write_slice(self._device, command, now):
                return

    def _write_slice(self, device: Device, command: Queued, now: float) -> bool:
        unsent = self._unsent(device)
        in_a_row = self._scheduler.bytes_in_a_row(command)
        wanted = max(command.remaining, min(in_a_row, self._pacer.shared_bytes))
        size = self._pacer.allowance(now, unsent, wanted)
        if size == 0 or self._device is None:
            self._note_wait(unsent, now)
            self._call_later(self._pacer.wait_s(now, unsent), now)
            return False
        self._stall.goes_on()
        self._sent(device, self._scheduler.next_bytes(size, now), now)
        return True

    def _sent(self, device: Device, data: bytes, now: float) -> None:
        taken = self._hand_over(device, data, now)
        if taken == 0:
            return
        self._on_program(data[:taken], now)
        for whole in self._scheduler.written(taken, now):
            self._count(whole, now)
        self._listener.write_progressed()

    def _count(self, command: Queued, now: float) -> None:
        started_at = now if command.started_at is None else command.started_at
        queued_at = command.queued_at
        self._counters.wrote_command(started_at - queued_at, now - started_at, now)
        self._listener.command_written(command, now)

    def _write_urgent(self) -> None:
        if self._device is not None and self._urgent:
            data, now = bytes(self._urgent), self._clock()
            taken = self._hand_over(self._device, data, now)
            self._on_urgent(data[:taken], now)
            del self._urgent[:taken]
            if not self._urgent:
                self._listener.write_progressed()

    def _unsent(self, device: Device) -> int:
        """Return what the device has not sent; a failed one is abandoned and never has room."""
        try:
            return device.unsent_bytes()
        except DeviceError as error:
            self._failed(error)
            return sys.maxsize

    def _hand_over(self, device: Device, data: bytes, now: float) -> int:
        """Give bytes to the device, return how many it took; a failed device takes none."""
        try:
            taken = device.write(data)
        except DeviceError as error:
            self._failed(error)
            return 0
        self._blocked = taken < len(data)
        if taken and self._stall.since is not None:
            self._stall.took()
        if self._blocked and _must_take(device):
            self._stall.refused(now)
        clear_at = self._pacer.written(taken, now)
        self._counters.wrote(taken)
        if taken and clear_at:
            self._counters.drain_time.add(clear_at - now, now)
        self._last_byte = data[taken - 1 : taken] or self._last_byte
        return taken

    def _failed(self, error: DeviceError) -> None:
        self._blocked = True
        self._listener.device_lost(str(error))

    def _note_wait(self, unsent: int, now: float) -> None:
        device = self._device
        if unsent and device is not None and _must_take(device):
            self._stall.waits(unsent, now)

    def _stalled(self) -> None:
        waits = self._blocked or self._scheduler.current(self._clock()) is not None
        if waits and self._device is not None and _must_take(self._device):
            self._blocked = True
            self._listener.device_lost(f"it has accepted no bytes for {self._write_timeout_s:g} s")

    def _call_later(self, wait_s: float, now: float) -> None:
        if self._device is None:
            return
        if self._polite:
            wait_s = min(wait_s, max(0.0, self._polite_due - now))
        self._timer = asyncio.get_running_loop().call_later(wait_s, self.pump)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _must_take(device: Device) -> bool:
    """Return whether the device has no legitimate reason to stall the line.

    A device with native USB makes the host wait for as long as it moves.
    """
    return device.has_line_rate and device.settings.flow_control is FlowControl.NONE
