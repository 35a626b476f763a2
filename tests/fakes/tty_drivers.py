"""Serial drivers as their source says they answer: what they take, what they say is unsent.

The figures are those of Linux v6.1; each class names file and function. Behind each stands a
device with a buffer of its own that is emptied at its own rate. Time is given, not read.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


class Driver(Protocol):
    """One tty of a driver."""

    name: str
    has_line_rate: bool

    def write(self, data: bytes) -> int:
        """Return how many bytes are taken, 0 for EAGAIN."""
        ...

    def chars_in_buffer(self) -> int:
        """Return the answer to TIOCOUTQ."""
        ...

    def flush_buffer(self) -> None:
        """Do what TCOFLUSH does."""

    def held_bytes(self) -> int:
        """Return how many bytes really wait on the host."""
        ...


class FarEnd:
    """A device: a buffer that takes a packet where there is room for it, and is then emptied.

    With `ends_at_once` a transfer has ended before the host looks for the first time: the computer
    is slow, or the bus fast.
    """

    def __init__(
        self, clock: Callable[[], float], bytes_per_s: float, buffer_bytes: int = 128
    ) -> None:
        self._clock = clock
        self._rate = bytes_per_s
        self._buffer_bytes = buffer_bytes
        self._room = float(buffer_bytes)
        self._was_waited_for = False
        self._at = clock()
        self.taken_bytes = 0
        self.stands_still = False
        self.ends_at_once = False

    def slow_down(self, bytes_per_s: float) -> None:
        """Empty the buffer at this rate from now on."""
        self.take(0)
        self._rate = bytes_per_s

    def now(self) -> float:
        """Return the time."""
        return self._clock()

    def take(self, size: int) -> int:
        """Take what there has been room for since the last time, if bytes have been waiting."""
        passed_s, self._at = self._clock() - self._at, self._clock()
        if passed_s:
            self._room += 0.0 if self.stands_still else passed_s * self._rate
            if not self._was_waited_for:
                self._room = min(self._room, self._buffer_bytes)
            self._was_waited_for = False
        taken = min(size, int(self._room + 1e-6))
        self._was_waited_for = self._was_waited_for or taken < size
        self._room -= taken
        self.taken_bytes += taken
        return taken


@dataclass(slots=True)
class _Urb:
    """A transfer; the driver learns of its end a moment later."""

    size: int
    left: int
    since: float


def _transfer(urbs: deque[_Urb], far_end: FarEnd) -> bool:
    """Give the device what it takes, in order; return whether the first transfer has ended."""
    for urb in urbs:
        if urb.left:
            urb.left -= far_end.take(urb.left)
        if urb.left:
            break
    if not urbs or urbs[0].left:
        return False
    return far_end.ends_at_once or far_end.now() > urbs[0].since


class CdcAcm:
    """drivers/usb/class/cdc-acm.c: 16 buffers (ACM_NW), one for each write, of 20 packets.

    `acm_tty_chars_in_buffer` counts whole buffers ("this is inaccurate (overcounts)"),
    `acm_tty_write_room` knows one, `acm_tty_flush_buffer` unlinks what is under way.
    """

    has_line_rate = False

    def __init__(self, far_end: FarEnd, packet_bytes: int = 64) -> None:
        self.name = f"cdc_acm, packets of {packet_bytes}"
        self._far_end = far_end
        self._buffer_bytes = packet_bytes * 20
        self._urbs: deque[_Urb] = deque()

    def write(self, data: bytes) -> int:
        taken = 0
        while taken < len(data):  # n_tty_write goes on while the driver takes something
            self._run()
            if len(self._urbs) == 16:
                break
            size = min(len(data) - taken, self._buffer_bytes)
            self._urbs.append(_Urb(size, size, self._far_end.now()))
            taken += size
        return taken

    def chars_in_buffer(self) -> int:
        self._run()
        return len(self._urbs) * self._buffer_bytes

    def flush_buffer(self) -> None:
        self._urbs.clear()

    def held_bytes(self) -> int:
        self._run()
        return sum(urb.left for urb in self._urbs)

    def _run(self) -> None:
        while _transfer(self._urbs, self._far_end):
            self._urbs.popleft()


class UsbSerial:
    """drivers/usb/serial/generic.c: a fifo of a page, two transfers under way.

    `usb_serial_generic_chars_in_buffer` is exact: fifo plus transfers. usb-serial.c has no
    flush_buffer, so TCOFLUSH takes nothing back. What the chip holds is not counted.
    `header_bytes` is what ftdi_prepare_write_buffer adds for the oldest chip, for each 63 bytes.
    """

    has_line_rate = True

    def __init__(
        self, name: str, far_end: FarEnd, transfer_bytes: int, header_bytes: int = 0
    ) -> None:
        self.name = name
        self._far_end = far_end
        self._transfer_bytes = transfer_bytes
        self._header_bytes = header_bytes
        self._fifo_bytes = 0
        self._transfers: deque[_Urb] = deque()

    def write(self, data: bytes) -> int:
        self._run()
        taken = min(len(data), 4096 - self._fifo_bytes)
        self._fifo_bytes += taken
        self._run()
        return taken

    def chars_in_buffer(self) -> int:
        self._run()
        headers = sum(self._header_bytes * -(-urb.size // 63) for urb in self._transfers)
        return self._fifo_bytes + sum(urb.size for urb in self._transfers) + headers

    def flush_buffer(self) -> None:
        return

    def held_bytes(self) -> int:
        self._run()
        return self._fifo_bytes + sum(urb.left for urb in self._transfers)

    def _run(self) -> None:
        since = self._far_end.now()
        while True:
            while self._fifo_bytes and len(self._transfers) < 2:
                size = min(self._fifo_bytes, self._transfer_bytes)
                self._fifo_bytes -= size
                self._transfers.append(_Urb(size, size, since))
            if not _transfer(self._transfers, self._far_end):
                return
            self._transfers.popleft()
            since = 0.0  # the next began when that one ended


class Silent:
    """A driver that takes 4 KiB and says 0 whatever it holds.

    So do ptys (pty.c has no chars_in_buffer for them since 4.5) and, for what has gone from the
    tty's queue into IOKit, macOS (ttioctl answers with t_outq alone).
    """

    has_line_rate = True

    def __init__(self, name: str, far_end: FarEnd) -> None:
        self.name = name
        self._far_end = far_end
        self._held = 0

    def write(self, data: bytes) -> int:
        taken = min(len(data), 4096 - self.held_bytes())
        self._held += taken
        return taken

    def chars_in_buffer(self) -> int:
        return 0

    def flush_buffer(self) -> None:
        self._held = 0

    def held_bytes(self) -> int:
        self._held -= self._far_end.take(self._held)
        return self._held


class WindowsQueue(UsbSerial):
    """cbOutQue of ClearCommError: what the writes that have not completed still hold."""

    def __init__(self, name: str, far_end: FarEnd, *, has_line_rate: bool = True) -> None:
        super().__init__(name, far_end, transfer_bytes=4096)
        self.has_line_rate = has_line_rate

    def flush_buffer(self) -> None:
        self._fifo_bytes = 0
        self._transfers.clear()  # PURGE_TXABORT


MakeDriver = Callable[[FarEnd], Driver]
# With the chip's own buffer, in bytes.
DRIVERS: dict[str, tuple[MakeDriver, int]] = {
    "cdc_acm_full_speed": (lambda end: CdcAcm(end, 64), 128),
    "cdc_acm_high_speed": (lambda end: CdcAcm(end, 512), 512),
    "ftdi_sio": (lambda end: UsbSerial("ftdi_sio", end, 512), 256),
    "ftdi_sio_first_chip": (lambda end: UsbSerial("ftdi_sio", end, 64, header_bytes=1), 256),
    "ch341": (lambda end: UsbSerial("ch341", end, 32), 32),
    "cp210x": (lambda end: UsbSerial("cp210x", end, 64), 576),
    "pl2303": (lambda end: UsbSerial("pl2303", end, 256), 256),
    "usb-serial-generic": (lambda end: UsbSerial("generic", end, 64), 64),
    "pty": (lambda end: Silent("pty", end), 1),
    "macos": (lambda end: Silent("macos", end), 64),
    "windows_ftdi": (lambda end: WindowsQueue("ftdibus", end), 256),
    "windows_usbser": (lambda end: WindowsQueue("usbser", end, has_line_rate=False), 128),
}
