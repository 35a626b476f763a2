"""What a client measures of its own parts of a round trip."""

from __future__ import annotations

from dataclasses import dataclass

from usbshare.base.time_stats import TimeSummary


@dataclass(frozen=True, slots=True)
class ClientTimes:
    """As the client says it: shown to people, and relied on for nothing. None is not measured."""

    wake: TimeSummary | None = None
    queue: TimeSummary | None = None
    network: TimeSummary | None = None
