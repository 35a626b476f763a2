"""What is measured of one machine's round trip; each time by one clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from usbshare.base.time_stats import TimeSummary
from usbshare.client.serial.messages import RemotePort


class PartKind(Enum):
    """The parts of a round trip, in its order."""

    PROGRAM = "program"
    BRIDGE = "bridge"
    NETWORK = "network"
    HOST = "host"
    PORT = "port"
    FIRMWARE = "firmware"


@dataclass(frozen=True, slots=True)
class Part:
    """One part; `times` None where it is not measured. `by`: who measured it, for people.

    `warning` says what is out of its range and what to do; empty where all is well.
    """

    kind: PartKind
    times: TimeSummary | None
    by: str
    warning: str = ""


@dataclass(frozen=True, slots=True)
class PortLatency:
    """All parts of one machine's round trip, in its order."""

    port: RemotePort
    parts: tuple[Part, ...]

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is out of its range."""
        return tuple(part.warning for part in self.parts if part.warning)


@dataclass(frozen=True, slots=True)
class HostLatency:
    """The machines of one host; `failure` says why it did not answer.

    `silent_since`: when it was heard last (UTC) if it does not answer now.
    """

    name: str
    target: str
    ports: tuple[PortLatency, ...] = ()
    failure: str = ""
    silent_since: datetime | None = None
