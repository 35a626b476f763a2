"""A serial line: its settings, its modem lines, and the Protocol that every device keeps."""

from __future__ import annotations

from collections.abc import Awaitable, Generator
from dataclasses import asdict, dataclass, replace
from enum import Enum
from typing import Protocol

from usbshare.base.errors import InvalidArgumentError

HIGHEST_BAUD = 12_000_000
DATA_BITS = (5, 6, 7, 8)


class Parity(Enum):
    """Parity; the values are pyserial's letters."""

    NONE = "N"
    EVEN = "E"
    ODD = "O"
    MARK = "M"
    SPACE = "S"


class FlowControl(Enum):
    """Flow control of the line itself."""

    NONE = "none"
    RTS_CTS = "rts_cts"
    XON_XOFF = "xon_xoff"


@dataclass(frozen=True, slots=True)
class LineSettings:
    """How bytes become symbols. `stop_bits` is 1, 1.5 or 2; `data_bits` 5 to 8."""

    baud: int = 115200
    data_bits: int = 8
    parity: Parity = Parity.NONE
    stop_bits: float = 1
    flow_control: FlowControl = FlowControl.NONE

    @property
    def bits_per_byte(self) -> float:
        """Symbols on the wire for one byte, start bit included."""
        return 1 + self.data_bits + (self.parity is not Parity.NONE) + self.stop_bits

    @property
    def bytes_per_s(self) -> float:
        """What the line carries at most."""
        return self.baud / self.bits_per_byte


@dataclass(frozen=True, slots=True)
class SettingsChange:
    """A request for settings; None leaves one as it is."""

    baud: int | None = None
    data_bits: int | None = None
    parity: Parity | None = None
    stop_bits: float | None = None
    flow_control: FlowControl | None = None

    def apply_to(self, current: LineSettings) -> LineSettings:
        """Return the settings after the change; raises InvalidArgumentError naming the value."""
        asked = {name: value for name, value in asdict(self).items() if value is not None}
        if not 1 <= asked.get("baud", 1) <= HIGHEST_BAUD:
            raise InvalidArgumentError(f"settings.baud {self.baud} is not 1 to {HIGHEST_BAUD}")
        if asked.get("data_bits", 8) not in DATA_BITS:
            raise InvalidArgumentError(f"settings.data_bits {self.data_bits} is not 5, 6, 7 or 8")
        return replace(current, **asked)


@dataclass(frozen=True, slots=True)
class LineEvents:
    """Breaks and errors on a line since the last report.

    `overrun`: bytes of the device were lost.
    """

    line_break: bool = False
    framing_error: bool = False
    parity_error: bool = False
    overrun: bool = False

    @property
    def is_any(self) -> bool:
        """Whether anything happened."""
        return self != LineEvents()


@dataclass(frozen=True, slots=True)
class LineCounts:
    """Counts of breaks and errors on a line, since its device was opened or before."""

    breaks: int = 0
    framing_errors: int = 0
    parity_errors: int = 0
    overruns: int = 0

    def since(self, before: LineCounts) -> LineEvents:
        """Return what has happened since."""
        return LineEvents(
            self.breaks > before.breaks,
            self.framing_errors > before.framing_errors,
            self.parity_errors > before.parity_errors,
            self.overruns > before.overruns,
        )


@dataclass(frozen=True, slots=True)
class ModemLines:
    """Modem lines as read, and line events; None if the device cannot report them."""

    cts: bool | None = None
    dsr: bool | None = None
    ri: bool | None = None
    cd: bool | None = None
    dtr: bool | None = None
    rts: bool | None = None
    counts: LineCounts | None = None


class Completion(Enum):
    """How an operation on the line ended."""

    OK = "ok"
    ASSUMED_SUCCESS = "assumed success"
    TIMEOUT = "timeout"


class Done:
    """What took effect at once; nothing is left to wait for."""

    def __await__(self) -> Generator[None, None, None]:
        """Return None at once."""
        yield from ()


class DeviceListener(Protocol):
    """Receives the events of a device; always called on the event loop that opened it."""

    def data_received(self, data: bytes) -> None:
        """Take bytes that the device sent, never empty."""

    def writable(self) -> None:
        """Note that there is room again, after a `write` that took less than it was given."""

    def lines_changed(self, lines: ModemLines) -> None:
        """Note a change of the input lines."""

    def device_lost(self, reason: str) -> None:
        """Take note, once, that the device is gone; it is being closed. Not called by `close`."""


class Device(Protocol):
    """A serial line with something behind it; used from one event loop only, never blocks it.

    Every method but `open` may raise DeviceError when the device has just failed; what a device
    cannot do at all raises NotSupportedError.
    """

    @property
    def settings(self) -> LineSettings:
        """The settings in force."""
        ...

    @property
    def holds_back(self) -> bool:
        """Whether a pause in reading makes the other side wait, instead of losing its bytes."""
        ...

    @property
    def has_line_rate(self) -> bool:
        """Whether the baud rate bounds what leaves.

        False for a device with native USB, which takes bytes as fast as it can and
        makes the host wait; its driver must report what is unsent.
        """
        ...

    @property
    def paces_itself(self) -> bool:
        """Whether `write` takes no more than may be ahead of a stop, so that nobody else paces it.

        True for a device behind a network, which alone sees how long each write was under way.
        """
        ...

    @property
    def low_latency(self) -> bool | None:
        """Whether the adapter hands bytes over at once; None if unknown."""
        ...

    async def open(self, listener: DeviceListener) -> None:
        """Open the line, touching DTR and RTS no more than must be; raises DeviceError."""

    def write(self, data: bytes) -> int:
        """Hand over what fits now, return how many bytes; if not all, `writable` follows later."""
        ...

    def unsent_bytes(self) -> int:
        """Bytes handed over that have not left, as the driver says; 0 where it cannot say."""
        ...

    def pause_reading(self) -> None:
        """Stop calling `data_received`."""

    def resume_reading(self) -> None:
        """Call `data_received` again."""

    def discard_output(self) -> None:
        """Discard bytes that were handed over and have not left."""

    def discard_input(self) -> Awaitable[None] | None:
        """Discard bytes that were received and not delivered; None: they are.

        Await what is returned before you write again: replies that come sooner may be discarded.
        """

    async def configure(self, settings: LineSettings) -> LineSettings:
        """Change all settings in one step, return what took effect; raises InvalidArgumentError."""
        ...

    async def drain(self, timeout_s: float) -> Completion:
        """Wait until all that was handed over has left; ASSUMED_SUCCESS if that is not reported."""
        ...

    def lines(self) -> ModemLines:
        """Return the modem lines as last read."""
        ...

    def watch_lines(self, *, on: bool) -> None:
        """Poll the input lines to report changes (so at open), or rest."""

    def set_lines(self, *, dtr: bool | None = None, rts: bool | None = None) -> Awaitable[None]:
        """Begin to set output lines, in order; None leaves one alone. Await it for the outcome."""
        ...

    def set_break(self, *, on: bool) -> Awaitable[None]:
        """Begin to start or end a break condition, in order. Await it for the outcome."""
        ...

    async def close(self) -> None:
        """Close the line; DTR and RTS stay as they are where the system allows (no HUPCL).

        Returns once it is closed in fact, which a stuck driver may delay by 30 s.
        """
