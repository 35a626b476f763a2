"""The outcomes of attachments since the service started."""

from __future__ import annotations

from enum import Enum
from typing import TypeVar

from usbshare.base.errors import (
    ConfirmationNeededError,
    DeviceAbsentError,
    DrainingError,
    NotFoundError,
    PermissionDeniedError,
    PortHeldError,
    SessionLostError,
    WrongStateError,
)


class Refusal(Enum):
    """Why a device was not lent."""

    HELD = "held"
    NOT_LENT = "not lent"
    ABSENT = "absent"
    NO_RIGHT = "no right"
    FAILED = "failed"


class Ending(Enum):
    """Why an attachment ended."""

    CLIENT = "client"
    SILENCE = "silence"
    UNPLUGGED = "unplugged"
    NO_RIGHT = "no right"
    STOPPING = "stopping"
    FAILED = "failed"


Kind = TypeVar("Kind", Refusal, Ending)
_REFUSALS: tuple[tuple[type[BaseException], Refusal], ...] = (
    (PortHeldError, Refusal.HELD),
    (WrongStateError, Refusal.NOT_LENT),
    (NotFoundError, Refusal.ABSENT),
    (DeviceAbsentError, Refusal.ABSENT),
    (PermissionDeniedError, Refusal.NO_RIGHT),
    (ConfirmationNeededError, Refusal.NO_RIGHT),
)
_ENDINGS: tuple[tuple[type[BaseException], Ending], ...] = (
    (SessionLostError, Ending.SILENCE),
    (DeviceAbsentError, Ending.UNPLUGGED),
    (PermissionDeniedError, Ending.NO_RIGHT),
    (DrainingError, Ending.STOPPING),
)


class Totals:
    """Counts; the bytes are those of USB/IP, from clients and from devices."""

    def __init__(self) -> None:
        self.attachments = 0
        self.from_clients_bytes = 0
        self.from_devices_bytes = 0
        self.refusals = dict.fromkeys(Refusal, 0)
        self.endings = dict.fromkeys(Ending, 0)

    def attached(self) -> None:
        """Count a device that is lent."""
        self.attachments += 1

    def from_client(self, size: int) -> None:
        """Count bytes of a client."""
        self.from_clients_bytes += size

    def from_device(self, size: int) -> None:
        """Count bytes of a device."""
        self.from_devices_bytes += size

    def refused(self, error: Exception) -> None:
        """Count a device that was not lent."""
        self.refusals[_kind(error, _REFUSALS, Refusal.FAILED)] += 1

    def ended(self, error: BaseException | None) -> None:
        """Count an attachment that has ended; None, or cancelled: its client ended it."""
        by_client = error is None or not isinstance(error, Exception)
        self.endings[Ending.CLIENT if by_client else _kind(error, _ENDINGS, Ending.FAILED)] += 1


def _kind(
    error: BaseException | None, kinds: tuple[tuple[type[BaseException], Kind], ...], other: Kind
) -> Kind:
    return next((found for kind, found in kinds if isinstance(error, kind)), other)
