"""What may be done, and on what."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Right(Enum):
    """What may be done; in the order in which rights are listed for people."""

    VIEW = "view"
    STOP = "stop"
    CONTROL = "control"
    ADMIN = "admin"


class ResourceKind(Enum):
    """What a right can be on."""

    SERVICE = "service"
    PORT = "port"
    CAMERA = "camera"
    DEVICE = "device"  # a USB device as a whole
    JOB = "job"  # only as a request names one: rights on it are those on its port
    SITE = "site"  # who is in and what was done: needs a grant on every port and camera


@dataclass(frozen=True, slots=True)
class Resource:
    """One port, camera or USB device by its id, or the service as a whole, which has none."""

    kind: ResourceKind
    id: str = ""

    def __str__(self) -> str:
        return f"{self.kind.value} {shown_id(self.id)!r}" if self.id else f"the {self.kind.value}"


def shown_id(asked: str) -> str:
    """Return an id invented by a caller in a form that may be shown: printable and bounded."""
    shown = "".join(char if char.isprintable() else "?" for char in asked[:_MOST_SHOWN])
    return shown if len(asked) <= _MOST_SHOWN else f"{shown[:-1]}…"


SERVICE = Resource(ResourceKind.SERVICE)
SITE = Resource(ResourceKind.SITE)
_MOST_SHOWN = 64
_IMPLIED = {
    Right.VIEW: frozenset({Right.VIEW, Right.STOP}),
    Right.STOP: frozenset({Right.STOP}),
    Right.CONTROL: frozenset({Right.VIEW, Right.STOP, Right.CONTROL}),
    Right.ADMIN: frozenset({Right.VIEW, Right.STOP, Right.ADMIN}),
}


def implied(right: Right) -> frozenset[Right]:
    """Return the right and those that come with it; who may view may stop."""
    return _IMPLIED[right]
