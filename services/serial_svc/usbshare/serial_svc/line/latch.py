"""The latch and the epoch of one port: what an emergency stop leaves behind.

Both belong to the machine, not to the object that serves it: a port that is unplugged, renamed or
served by the next process gets the same latch again, and so does a port that turns out, when it is
opened, to have the same physical device; see `latch_file`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum

from usbshare.base.errors import InvalidArgumentError, PortLatchedError
from usbshare.line.physical_device import PhysicalDevice


class LatchCause(Enum):
    """Why a port refuses programs."""

    EMERGENCY_STOP = "emergency stop"
    JOB_LOST = "job lost"


@dataclass(frozen=True, slots=True)
class LatchRecord:
    """What latched a port last: by whom, why, when, and the epoch that it began."""

    who: str
    why: str
    at: datetime
    epoch: int
    cause: LatchCause = LatchCause.EMERGENCY_STOP

    def __str__(self) -> str:
        reason = f" ({self.why})" if self.why else ""
        return f"{self.who} at {self.at:%Y-%m-%d %H:%M:%S} UTC{reason}"


class Latch:
    """Whether programs may write to a port, and in which epoch.

    Read `epoch` and `record` at any time; `record` is None while programs may write. A change
    takes effect at once and is kept with `keep`, which waits for nothing.
    """

    def __init__(
        self,
        epoch: int = 1,
        record: LatchRecord | None = None,
        on_keep: Callable[[Latch], None] = lambda _: None,
        utc: Callable[[], datetime] = lambda: datetime.now(UTC),
        on_device: Callable[[Latch, PhysicalDevice], None] = lambda *_: None,
    ) -> None:
        self.epoch = epoch
        self.record = record
        self._on_keep = on_keep
        self._on_device = on_device
        self._utc = utc
        self._is_kept = False

    @property
    def is_set(self) -> bool:
        """Whether the port is latched."""
        return self.record is not None

    @property
    def cause(self) -> LatchCause | None:
        """What latched the port; None if it is not latched."""
        return self.record.cause if self.record is not None else None

    def set(self, who: str, why: str, cause: LatchCause = LatchCause.EMERGENCY_STOP) -> None:
        """Begin a new epoch in which programs are refused; the latest cause is kept."""
        self.advance()
        self.record = LatchRecord(who, why, self._utc(), self.epoch, cause)

    def advance(self) -> None:
        """Begin a new epoch: what was sent before is void."""
        self.epoch += 1
        self._is_kept = False

    def is_over(self, epoch: int) -> bool:
        """Return whether an epoch is not the one in force; 0, which means unknown, never is."""
        return epoch not in (0, self.epoch)

    def device_opened(self, device: PhysicalDevice | None) -> None:
        """Take over what is known of the port's physical device; waits for nothing."""
        if device is not None:
            self._is_kept = False
            self._on_device(self, device)

    def take_over(self, record: LatchRecord, past_epoch: int) -> None:
        """Be latched by what latched the device under another name, in an epoch past that."""
        self.epoch = max(self.epoch, past_epoch)
        self.advance()
        self.record = replace(record, epoch=min(record.epoch, self.epoch) or self.epoch)

    def release(self, seen_epoch: int, port_id: str) -> bool:
        """Let programs write again; False if they may.

        Raises PortLatchedError if it was latched after the epoch that the caller has seen,
        InvalidArgumentError if that epoch has not begun.
        """
        if seen_epoch > self.epoch:
            raise InvalidArgumentError(
                f"epoch {seen_epoch} has not begun; port '{port_id}' is in epoch {self.epoch}"
            )
        if self.record is None:
            return False
        if seen_epoch < self.record.epoch:
            raise PortLatchedError(
                f"port '{port_id}' is not re-armed: it was latched again, by {self.record}, "
                f"which began epoch {self.record.epoch}; you named epoch {seen_epoch}. Look at the "
                f"machine, then re-arm with epoch {self.record.epoch}"
            )
        self.record, self._is_kept = None, False
        return True

    def keep(self) -> None:
        """Save the latest change."""
        if not self._is_kept:
            self._is_kept = True
            self._on_keep(self)
