"""Where the time of round trips goes, as a service measures it."""

from __future__ import annotations

from dataclasses import dataclass

from usbshare.base.time_stats import TimeSummary
from usbshare.line.client_times import ClientTimes


@dataclass(frozen=True, slots=True)
class PortTimes:
    """What the service measures at one port.

    `queue`: commands waiting; `write`: from a command's first byte to its last; `drain`: from the
    driver having bytes to their having left; `answer`: the firmware's, to a status query; `send`:
    device bytes waiting to be sent. `holder`: what the client in control measures.
    """

    port_id: str
    queue: TimeSummary
    write: TimeSummary
    drain: TimeSummary
    answer: TimeSummary
    send: TimeSummary
    holder: ClientTimes | None


@dataclass(frozen=True, slots=True)
class HostTimes:
    """What one service measures; `wake`: how late it ran when it was due, None if not reported."""

    ports: tuple[PortTimes, ...]
    wake: TimeSummary | None
