"""A simulated controller as a Device, for `sim://` URLs."""

from __future__ import annotations

import asyncio

from usbshare.base.errors import DeviceError, InvalidArgumentError
from usbshare.base.waits import set_within
from usbshare.line.settings import Completion, DeviceListener, Done, LineSettings, ModemLines
from usbshare.sim.controller import Controller
from usbshare.sim.firmware import make_controller
from usbshare.sim.record import Record
from usbshare.sim.ticker import Clock, Ticker
from usbshare.sim.uart import DRIVER_BUFFER_BYTES, Uart
from usbshare.sim.url import parse_sim_url

_WRITABLE_BYTES = DRIVER_BUFFER_BYTES // 4


def sim_device(url: str, *, clock: Clock | None = None) -> SimDevice:
    """Return the device of a `sim://` URL; raises InvalidArgumentError."""
    parsed = parse_sim_url(url)
    controller = make_controller(parsed.firmware, Record(parsed.record), homing=parsed.homing)
    return SimDevice(controller, name=url, reset_on_dtr=parsed.reset_on_dtr, clock=clock)


class SimDevice:
    """Implements the Device Protocol on a simulated line and controller.

    The controller outlives `close` and continues where it was at the next `open`.
    """

    def __init__(
        self,
        controller: Controller,
        *,
        name: str = "sim",
        reset_on_dtr: bool = False,
        clock: Clock | None = None,
    ) -> None:
        self.controller = controller
        self._name = name
        self._reset_on_dtr = reset_on_dtr
        self._uart = Uart(controller, LineSettings())
        self._ticker = Ticker(self._work, clock)
        self._listener: DeviceListener | None = None
        self._opened_before = False
        self._paused = False
        self._starved = False
        self._empty = asyncio.Event()
        self._lines = ModemLines(cts=True, dsr=True, ri=False, cd=True, dtr=False, rts=False)

    @property
    def settings(self) -> LineSettings:
        """The settings in force."""
        return self._uart.settings

    @property
    def holds_back(self) -> bool:
        """Whether a pause in reading makes the other side wait, instead of losing its bytes."""
        return False

    @property
    def has_line_rate(self) -> bool:
        """Return True: the baud rate bounds what leaves."""
        return True

    @property
    def paces_itself(self) -> bool:
        """Return False: `write` takes whatever the driver has room for."""
        return False

    @property
    def low_latency(self) -> bool | None:
        """Return None: there is no adapter."""
        return None

    async def open(self, listener: DeviceListener) -> None:
        """Open the line; raises DeviceError when the record cannot be written."""
        if self._listener is not None:
            raise DeviceError(f"device '{self._name}' is already open")
        try:
            self.controller.record.open()
        except OSError as error:
            raise DeviceError(f"device '{self._name}': {error}") from error
        self._uart.run(self._ticker.now_s())
        if self._opened_before:
            self._uart.discard_replies()
        self._listener, self._opened_before = listener, True
        self._paused = self._starved = False
        self._ticker.start()

    def write(self, data: bytes) -> int:
        """Hand over what fits now, return how many bytes; if not all, `writable` follows later."""
        self._check_open()
        taken = self._uart.write(data, self._ticker.now_s())
        self._starved = self._starved or taken < len(data)
        self._schedule()
        return taken

    def unsent_bytes(self) -> int:
        """Bytes handed over that have not left."""
        self._check_open()
        return self._uart.unsent(self._ticker.now_s())

    def pause_reading(self) -> None:
        """Stop calling `data_received`."""
        self._paused = True

    def resume_reading(self) -> None:
        """Call `data_received` again."""
        self._paused = False
        self._schedule()

    def discard_output(self) -> None:
        """Discard bytes that were handed over and have not left."""
        self._check_open()
        self._uart.discard(self._ticker.now_s())
        self._schedule()

    def discard_input(self) -> None:
        """Discard bytes that were received and not delivered."""
        self._check_open()
        self._uart.run(self._ticker.now_s())
        self._uart.discard_replies()

    async def configure(self, settings: LineSettings) -> LineSettings:
        """Change all settings in one step, return what took effect; raises InvalidArgumentError."""
        self._check_open()
        if settings.baud <= 0:
            raise InvalidArgumentError(f"baud must be positive, not {settings.baud}")
        self._uart.configure(settings, self._ticker.now_s())
        self._schedule()
        return settings

    async def drain(self, timeout_s: float) -> Completion:
        """Wait until all bytes handed over have left."""
        if not self.unsent_bytes():
            return Completion.OK
        self._empty.clear()
        if not await set_within(self._empty, timeout_s):
            return Completion.TIMEOUT
        self._check_open()
        return Completion.OK

    def lines(self) -> ModemLines:
        """Read the modem lines."""
        self._check_open()
        return self._lines

    def watch_lines(self, *, on: bool) -> None:
        """Do nothing: the input lines never change."""

    def set_lines(self, *, dtr: bool | None = None, rts: bool | None = None) -> Done:
        """Set output lines; a rising DTR resets the controller if so configured."""
        self._check_open()
        before = self._lines
        dtr = before.dtr if dtr is None else dtr
        rts = before.rts if rts is None else rts
        self._lines = ModemLines(before.cts, before.dsr, before.ri, before.cd, dtr, rts)
        if self._reset_on_dtr and dtr and not before.dtr:
            self._uart.hard_reset(self._ticker.now_s())
            self._schedule()
        return Done()

    def set_break(self, *, on: bool) -> Done:
        """Start or end a break condition, which the controllers ignore."""
        self._check_open()
        self.controller.record.event("break" if on else "break end", self._ticker.now_s())
        return Done()

    def unplug(self, reason: str = "unplugged") -> None:
        """Behave as if the cable had been pulled: notify the listener and be closed."""
        listener = self._listener
        self._shut()
        if listener is not None:
            listener.device_lost(reason)

    async def close(self) -> None:
        """Close the line; the controller keeps running."""
        self._shut()

    def _shut(self) -> None:
        self._listener = None
        self._ticker.stop()
        self._empty.set()
        self.controller.record.close()

    def _check_open(self) -> None:
        if self._listener is None:
            raise DeviceError(f"device '{self._name}' is not open")

    def _schedule(self) -> None:
        self._ticker.arm(self._due_s())

    def _due_s(self) -> float | None:
        times = [self._uart.next_event_s(), None if self._paused else self._uart.next_reply_s()]
        return min((time for time in times if time is not None), default=None)

    def _work(self, now_s: float) -> float | None:
        self._uart.run(now_s)
        if not self._uart.unsent(now_s):
            self._empty.set()
        if self._listener is not None and not self._paused:
            self._deliver(self._listener, now_s)
        if self._listener is not None and self._starved and self._uart.room >= _WRITABLE_BYTES:
            self._starved = False
            self._listener.writable()
        return self._due_s() if self._listener is not None else None

    def _deliver(self, listener: DeviceListener, now_s: float) -> None:
        data = self._uart.read(now_s)
        if data:
            listener.data_received(data)
