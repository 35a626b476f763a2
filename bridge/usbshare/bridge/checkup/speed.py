"""Check of the round trip, and which byte rate of a job it allows at the port's baud rate."""

from __future__ import annotations

import asyncio
import itertools
import statistics
from collections.abc import Sequence

from usbshare.base.checkup import Judgement, fine, skipped, warning
from usbshare.bridge.checkup.context import Subject
from usbshare.bridge.checkup.service import PORT
from usbshare.client.health import HealthClient
from usbshare.line.settings import LineSettings

CALLS = 20
WARM_UP_CALLS = 3
PAUSE_S = 0.02
LINE_BYTES = 24  # a usual line of an engraving: `G1 X123.456 Y78.901 S500`
ANSWER_BYTES = 4  # `ok` and the end of its line
WINDOW_BYTES = 127  # what GRBL's receive buffer holds; a sender that counts keeps it full
_LONG_S = 0.1
_LATE_S = 0.5  # a quarter of the link timeout
_WELL_USED = 0.9
_CABLE = "use a network cable instead of Wi-Fi, or move the computers closer"


async def judge_round_trip(subject: Subject) -> Judgement:
    """Measure calls one after the other over an established connection."""
    client = HealthClient(subject.where, subject.bundle)
    times_s = []
    try:
        for number in range(WARM_UP_CALLS + CALLS):
            took_s = await client.round_trip_s()
            if number >= WARM_UP_CALLS:
                times_s.append(took_s)
            await asyncio.sleep(PAUSE_S)
    finally:
        await client.close()
    subject.round_trip_s = statistics.median(times_s)
    return judge_times(times_s)


def judge_times(times_s: Sequence[float]) -> Judgement:
    """Say what the round trips mean. Jitter is the mean change from one call to the next."""
    median_s, most_s = statistics.median(times_s), max(times_s)
    changes_s = [abs(later - earlier) for earlier, later in itertools.pairwise(times_s)]
    jitter_s = statistics.fmean(changes_s) if changes_s else 0.0
    measured = (
        f"median {median_s * 1000.0:.2f} ms over {len(times_s)} calls, jitter "
        f"{jitter_s * 1000.0:.2f} ms, longest {most_s * 1000.0:.2f} ms"
    )
    if most_s > _LATE_S:
        return warning(measured, f"a link that is silent for 2 s counts as lost: {_CABLE}")
    return warning(measured, _CABLE) if median_s > _LONG_S else fine(measured)


async def judge_job_rate(subject: Subject) -> Judgement:
    """Say which rate a job reaches on this port."""
    if subject.port is None:
        return skipped(PORT)
    return judge_rates(subject.round_trip_s, subject.port.settings)


def judge_rates(round_trip_s: float, settings: LineSettings) -> Judgement:
    """Say which rate two kinds of senders reach, and how that is computed."""
    waiting, counting = waiting_rate(round_trip_s, settings), counting_rate(round_trip_s, settings)
    line = settings.bytes_per_s
    measured = (
        f"{counting:.0f} B/s counting characters, {waiting:.0f} B/s waiting for each ok; "
        f"the line carries {line:.0f} B/s at {settings.baud} baud "
        f"({WINDOW_BYTES} or {LINE_BYTES} B each round trip and line time)"
    )
    if counting >= _WELL_USED * line:
        return fine(measured)
    return warning(measured, f"the network, not the line, limits the speed of dense jobs: {_CABLE}")


def waiting_rate(round_trip_s: float, settings: LineSettings) -> float:
    """Bytes a second of a sender that has one line under way."""
    return _rate(LINE_BYTES, round_trip_s, settings)


def counting_rate(round_trip_s: float, settings: LineSettings) -> float:
    """Bytes a second of a sender that keeps the machine's receive buffer full."""
    return _rate(WINDOW_BYTES, round_trip_s, settings)


def _rate(bytes_under_way: int, round_trip_s: float, settings: LineSettings) -> float:
    # Room for a line comes once that line has gone down the cable and its `ok` has come back.
    line_s = (LINE_BYTES + ANSWER_BYTES) / settings.bytes_per_s
    return min(settings.bytes_per_s, bytes_under_way / (round_trip_s + line_s))
